"""Everything PVE's API can answer instead of data: a status, a reason phrase and a body in its words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class ApiError(Exception):
    """An answer that is no success; the reason phrase is the first line of `message`."""

    def __init__(
        self, status: int, message: str, errors: Mapping[str, str] | None = None, *, newline: bool = True
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, errors
        self.newline = newline  # Perl's die ends its text with one, the HTTP server's own texts have none

    @property
    def reason(self) -> str:
        return self.message.split("\n", 1)[0]

    def body(self) -> dict[str, object]:
        """The JSON object PVE sends with it."""
        body: dict[str, object] = {"data": None, "message": self.message + ("\n" if self.newline else "")}
        if self.errors is not None:
            body["errors"] = dict(self.errors)
        return body

    def task_text(self) -> str:
        """What stands behind `TASK ERROR:` when a worker dies of it: one line, the status in front where PVE has it."""
        lines = [self.message] if self.status == 500 else [f"{self.status} {self.message}"]
        lines += [f"{name}: {text.rstrip()}" for name, text in (self.errors or {}).items()]
        return " ".join(lines)


def died(message: str) -> ApiError:
    """A plain `die` in PVE's code: always 500, also for what does not exist or is locked."""
    return ApiError(500, message)


def bad_parameters(errors: Mapping[str, str]) -> ApiError:
    return ApiError(400, "Parameter verification failed.", errors)


def forbidden(detail: str | None = None) -> ApiError:
    return ApiError(403, "Permission check failed" + (f" ({detail})" if detail else ""))


class UnauthorizedError(ApiError):
    """Refused before the call: PVE holds the answer back for three seconds; only a failed login has a body."""

    def __init__(self, reason: str, *, with_body: bool = False) -> None:
        super().__init__(401, reason)
        self.with_body = with_body


class NoSuchMethodError(ApiError):
    """No such path or method."""

    def __init__(self, method: str, path: str) -> None:
        super().__init__(501, f"Method '{method} {path}' not implemented", newline=False)


@contextmanager
def failed_step(prefix: str) -> Iterator[None]:
    """PVE puts what it was doing in front of the reason; a refusal that is no `die` passes as it is."""
    try:
        yield
    except ApiError as error:
        if error.status != 500:
            raise
        raise died(f"{prefix}{error.message}") from error
