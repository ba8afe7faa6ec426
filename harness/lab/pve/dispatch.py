"""Take one request through PVE's order: method, body, identity, path, privilege, parameters, and only then the work."""

from __future__ import annotations

import json
import re
import threading
import traceback
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from . import routes
from .call import Answer, Call, Route
from .failures import ApiError, NoSuchMethodError, UnauthorizedError, bad_parameters, died, forbidden
from .multipart import Form
from .schema import verify
from .simulator import Simulator
from .striking import CutAnswer, DroppedError, LostAnswer, strike
from .waiting import pause

WORKERS = 3
REFUSAL_S = 3.0
PROXY_TIMEOUT_S = 30.0
BODY_LIMIT = 524288
METHODS = ("GET", "POST", "PUT", "DELETE")
_OPEN_PATHS = {("GET", "/access/domains"), ("GET", "/access/ticket"), ("POST", "/access/ticket")}


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # from the server's root, still percent-encoded
    query: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    form: Form | None = None  # of an upload


@dataclass(frozen=True)
class Response:
    status: int
    reason: str
    body: bytes = b""
    content_type: str = "application/json;charset=UTF-8"
    is_cut: bool = False  # only half of it arrives


class Dispatcher:
    """Serves requests from any number of threads with PVE's three workers."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim
        self._workers = threading.BoundedSemaphore(WORKERS)

    def serve(self, request: Request) -> Response:
        if request.form is None:
            return self._serve(request)
        try:
            response = self._serve(request)
        finally:
            if request.form.file is not None:
                request.form.file.unlink(missing_ok=True)  # the task has given its file another name
        if response.status == 403:
            pause(REFUSAL_S * self._sim.pace)
            return Response(403, response.reason)
        return response

    def _serve(self, request: Request) -> Response:
        if request.method not in METHODS:
            return Response(501, f"method '{request.method}' not available")
        match = re.fullmatch(r"/api2/(json|extjs)(/.*)?", request.path)
        if match is None:
            return _outside(request.path, self._sim.node)
        formatter, path = match[1], re.sub(r"/+", "/", match[2] or "/").rstrip("/") or "/"
        try:
            answer = self._faulty(request.method, urllib.parse.unquote(path), lambda at: self._call(request, path, at))
        except UnauthorizedError as error:
            pause(REFUSAL_S * self._sim.pace)
            return _envelope(formatter, error) if error.with_body else Response(401, error.reason)
        except ApiError as error:
            return _envelope(formatter, error)
        except _TextError as error:
            return Response(error.status, str(error).split("\n", 1)[0], str(error).encode(), "text/plain")
        return _response(formatter, answer)

    def call_as_root(self, route: Route, path: str, sent: Mapping[str, Any]) -> object:
        """A call by a program on the node itself: nobody to identify, no proxy and no worker in between."""

        def work(number: int) -> object:
            self._sim.counters.count(route.method, route.template)
            return self._recorded(number, route.method, path, sent, lambda: self._run(route, "root@pam", sent))

        answer = self._faulty(route.method, path, work)
        if isinstance(answer, CutAnswer | LostAnswer):
            raise DroppedError  # no proxy is in between: the program dies without a word
        return answer

    def _faulty(self, method: str, shown: str, work: Callable[[int], object]) -> object:
        """The call with the fault that was asked for it, if any."""
        number = self._sim.counters.next_number()
        faults = self._sim.faults
        fault = faults.for_call(method, shown, number)
        return strike(self._sim, fault, shown, lambda: faults.falsify(method, shown, work(number)))

    def _call(self, request: Request, path: str, number: int) -> object:
        sent = _parameters(request)
        sim, method = self._sim, request.method
        user = "" if (method, path) in _OPEN_PATHS else sim.identity.caller(method, request.headers)
        found = routes.find(method, path)
        if found is None:
            raise NoSuchMethodError(method, path)
        route, from_path = found
        sim.counters.count(method, route.template)
        for name, value in from_path.items():
            if str(sent.get(name, value)) != value:
                raise bad_parameters({name: "duplicate parameter (already defined in URI) with conflicting values!"})
        with self._worker():
            return self._recorded(number, method, path, sent, lambda: self._run(route, user, sent | from_path))

    def _recorded(
        self, number: int, method: str, path: str, sent: Mapping[str, Any], work: Callable[[], object]
    ) -> object:
        if method == "GET":
            return work()
        with self._sim.counters.write(number, method, path, sent) as entry:
            answer = work()
            entry["task"] = answer if isinstance(answer, str) and answer.startswith("UPID:") else None
            return answer

    @contextmanager
    def _worker(self) -> Iterator[None]:
        """One of the three workers; the proxy gives up on a queue that does not move."""
        if not self._workers.acquire(timeout=PROXY_TIMEOUT_S * self._sim.pace):
            raise ApiError(596, "Connection timed out")
        try:
            yield
        finally:
            self._workers.release()

    def _run(self, route: Route, user: str, sent: Mapping[str, Any]) -> object:
        sim = self._sim
        if user != "root@pam" and user:
            if "!" in user and not route.takes_token:
                path = route.template
                raise forbidden(f"URI '{path}' not available with API token, need proper ticket.\n")
            route.need(sim.rights, user, sent)
        if "{node}" in route.template:
            self._check_node(str(sent["node"]))
        values, errors = verify(route.params, {key: value for key, value in sent.items() if value is not None})
        if errors:
            raise bad_parameters(errors)
        if user != "root@pam" and (special := [name for name in route.root_only_params if name in values]):
            raise bad_parameters(dict.fromkeys(special, "Only root may use this option."))
        call = Call(sim, user, values, sent)
        with _dying_aloud():
            if not route.locked:
                return route.run(call)
            with sim.state.lock:
                return route.run(call)

    def _check_node(self, name: str) -> None:
        """Another node would be reached by its address; this one stands alone."""
        if name.lower() == self._sim.node.lower() != name:
            raise ApiError(596, "error:0A000086:SSL routines::certificate verify failed")
        if name not in {self._sim.node, "localhost"}:
            lookup = f"failed to get address info for: {name}: Name or service not known"
            raise died(f"hostname lookup '{name}' failed - {lookup}")


@contextmanager
def _dying_aloud() -> Iterator[None]:
    """What goes wrong in a call is answered with 500, as PVE does; a connection closed without a word tells nobody."""
    try:
        yield
    except (ApiError, DroppedError):
        raise
    except Exception as error:
        traceback.print_exc()
        raise died(f"the simulator failed: {type(error).__name__}: {error}") from error


class _TextError(Exception):
    """The server's own refusal, before any API code: a line of text instead of JSON."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _parameters(request: Request) -> dict[str, Any]:
    """Query and body in one; the query wins."""
    if request.method in {"GET", "DELETE"} and request.body:
        raise _TextError(501, f"Unexpected content for method '{request.method}'")
    if len(request.body) > BODY_LIMIT:
        raise _TextError(501, "for data too large")
    parameters = (_body(request) if request.form is None else dict(request.form.fields)) | _form(request.query)
    parameters.pop("_dc", None)
    return parameters


def _body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json" and request.method in {"POST", "PUT"}:
        return _json(request.body)
    if kind not in {"", "application/x-www-form-urlencoded"} and request.body:
        raise _TextError(506, f"upload 'Content-Type '{kind}' not implemented")
    return _form(request.body.decode("ascii", "replace"))


def _json(body: bytes) -> dict[str, Any]:
    where = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line"
    try:
        read = json.loads(body)
    except ValueError as error:
        what = "malformed JSON string, neither tag, array, object, number, string or atom"
        raise _TextError(500, f'{what}, at character offset 0 (before "(end of string)") {where} 917.\n') from error
    if not isinstance(read, dict):
        raise _TextError(500, f"Not a HASH reference {where} 957.\n")
    return {name: _scalar(value) for name, value in read.items()}


def _scalar(value: Any) -> Any:
    """JSON booleans and numbers as the text Perl would make of them."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return f"{value:.15g}" if isinstance(value, float) else str(value)
    return value


def _form(text: str) -> dict[str, Any]:
    """A form's values; a repeated key becomes a list."""
    found: dict[str, Any] = {}
    for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True):
        if name in found:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
        else:
            found[name] = value
    return found


def _response(formatter: str, answer: object) -> Response:
    match answer:
        case LostAnswer():
            return Response(answer.status, answer.reason)
        case CutAnswer():
            return replace(_success(formatter, answer.answer), is_cut=True)
        case _:
            return _success(formatter, answer)


def _success(formatter: str, answer: object) -> Response:
    body: dict[str, object] = {"data": answer.data, **answer.extra} if isinstance(answer, Answer) else {"data": answer}
    return Response(200, "OK", _encoded(body | ({"success": 1} if formatter == "extjs" else {})))


def _envelope(formatter: str, error: ApiError) -> Response:
    if error.status >= 595:
        return Response(error.status, error.reason)
    if any(ord(letter) > 255 for letter in error.reason):
        # Perl dies of `Wide character` when it writes such a status line, and the proxy loses its backend.
        return Response(596, "Broken pipe")
    if formatter == "extjs":
        return Response(200, "OK", _encoded(error.body() | {"success": 0, "status": error.status}))
    return Response(error.status, error.reason, _encoded(error.body()))


def _encoded(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _outside(path: str, node: str) -> Response:
    """What is not the API: the page of the web interface, and refusals in plain text."""
    if path == "/":
        page = (
            f"<!DOCTYPE html><html><head><title>{node} - Proxmox Virtual Environment</title></head><body></body></html>"
        )
        return Response(200, "OK", page.encode(), "text/html; charset=utf-8")
    if path.startswith("/api2"):
        other = re.fullmatch(r"/api2/(\w+)(/.+)", path)
        text = f"no formatter for uri {other[2]}, {other[1]}" if other else "no such uri"
        return Response(501, text, text.encode(), "text/plain")
    text = f"no such file '{path}'"
    return Response(500, text, f"{text}\n".encode(), "text/plain")
