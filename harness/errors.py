"""Every failure the user can meet, said in four parts: tried, on what, happened, do."""

from __future__ import annotations

from collections.abc import Sequence


class HarnessError(Exception):
    """A failure with the sentence the user needs; `exit_status` is what the command ends with."""

    exit_status = 2

    def __init__(self, *, tried: str, on: str, happened: str, do: str) -> None:
        self.tried, self.on, self.happened, self.do = tried, on, happened, do
        super().__init__(f"Could not {tried} on {on}: {happened.rstrip('.')}. {do.rstrip('.')}.")


class Unreachable(HarnessError):
    """Nobody answered: the fact could not be looked at."""


class Refused(HarnessError):
    """Somebody answered and did not let us look: a credential or a privilege is missing."""


class Untrusted(HarnessError):
    """The other side is not who the inventory says: certificate or host key differs."""


class TaskFailed(HarnessError):
    """PVE accepted the request and its task ended badly."""

    def __init__(self, *, upid: str, exit_status_text: str, log_tail: Sequence[str], tried: str, on: str, do: str):
        self.upid, self.exit_status_text, self.log_tail = upid, exit_status_text, tuple(log_tail)
        tail = " | ".join(log_tail)
        happened = f"the task ended with {exit_status_text!r} ({upid}); its log ends: {tail}"
        super().__init__(tried=tried, on=on, happened=happened, do=do)


class TimedOut(HarnessError):
    """A wait reached its deadline; `happened` names what was last seen."""


class Unsafe(HarnessError):
    """The request would change or lose something that is not ours; nothing was changed."""


class Invalid(HarnessError):
    """The input is wrong; nothing was changed."""


class Missing(HarnessError):
    """Something this machine needs is not installed or not there."""
