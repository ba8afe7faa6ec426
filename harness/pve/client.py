"""Ask and tell one hypervisor's API: three requests in flight, every read on record, no write done twice."""

from __future__ import annotations

import json
import queue
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload
from urllib.parse import urlencode, urlsplit

import requests

from harness.contract import Api, ApiToken, SecretRef
from harness.errors import HarnessError, Invalid
from harness.evidence import Evidence, Secret
from harness.pve.auth import TicketAuth, TokenAuth
from harness.pve.errors import Call, Expired, Forbidden, from_answer, from_transport, not_pve
from harness.pve.grants import advise_client
from harness.pve.multipart import Multipart
from harness.pve.retrying import Patience
from harness.pve.wire import encode
from harness.tls import LimitedAdapter, adapter_for

with warnings.catch_warnings():  # proxmoxer silences TLS warnings for the whole process when it is imported
    from proxmoxer.backends.https import JsonSerializer, ProxmoxHTTPAuthBase, ProxmoxHttpSession
from proxmoxer.core import ProxmoxResource, ResourceException

Purpose = Literal["verify", "provision", "root"]

# pveproxy and pvedaemon have three workers each: more requests in flight only wait there.
IN_FLIGHT = 3


@dataclass
class Counts:
    """What a run cost the hypervisor."""

    reads: int = 0
    writes: int = 0
    retries: list[str] = field(default_factory=list)


class _Serializer(JsonSerializer):  # type: ignore[misc]  # proxmoxer has no types
    """proxmoxer hands a broken body on as if it were data; this one refuses it."""

    def loads(self, response: requests.Response) -> Any:
        return response.json()["data"]

    def loads_errors(self, response: requests.Response) -> Any:
        body = _json(response)
        return body.get("errors") if isinstance(body, dict) else None


class _Session(ProxmoxHttpSession):  # type: ignore[misc]  # proxmoxer has no types
    """One worker's connection; keeps the last refusal's full text, which proxmoxer drops."""

    message = ""
    may_write = False

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        if not (self.may_write or method.upper() == "GET"):
            # The last door before the wire: whatever asks for it, and by whatever way.
            raise ReadOnly(f"{method.upper()} {url}")
        self.message = ""
        response: requests.Response = super().request(method, url, allow_redirects=False, **kwargs)
        if 300 <= response.status_code < 400:
            raise requests.exceptions.InvalidURL(f"redirects to {response.headers.get('Location', 'nowhere')}")
        body = _json(response) if response.status_code >= 400 else None
        self.message = str(body.get("message") or "") if isinstance(body, dict) else ""
        return response


class ReadOnly(Exception):
    """A write was asked of a client that only reads: a mistake in this tool, and nothing was sent."""


class Client:
    """Reads only: what `verify` and `plan` are given cannot change anything.

    It has no method that writes, and a write that comes to its connections some other way is not sent.
    """

    _may_write = False

    def __init__(self, api: Api, fingerprint: str | None, who: str, secret_at: str, evidence: Evidence | None) -> None:
        self.url = api.url.rstrip("/")
        self.who = who
        self.purpose: Purpose = "root"
        self.counts = Counts()
        self._secret_at = secret_at
        self._evidence = evidence
        self._ca_file = api.ca_file
        self._adapter: Callable[[], LimitedAdapter] = lambda: adapter_for(api.ca_file, fingerprint)
        self._auth: TokenAuth | TicketAuth | None = None
        self._idle: queue.LifoQueue[_Session | None] = queue.LifoQueue()
        for _ in range(IN_FLIGHT):
            self._idle.put(None)
        self._kept: dict[str, Any] = {}
        self._asking: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._patience = Patience()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url} as {self.who})"

    def beside(self, other: Client) -> None:
        """Both ask one hypervisor: when it has answered the other, it is waited for here, too."""
        self._patience = other._patience

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, cached: bool = False) -> Any:
        """The answer's data. `cached` accepts an answer this client already has.

        A read whose answer was lost, or that met a lock, is asked again a few times; the record says so.
        """
        asked = f"GET {path}" + (f"?{urlencode(encode(params))}" if params else "")
        if not cached:
            return self._ask(asked, path, params or {})
        with self._lock:
            one_at_a_time = self._asking.setdefault(asked, threading.Lock())
        with one_at_a_time:  # who comes second waits for the first one's answer instead of asking again
            return self._kept[asked] if asked in self._kept else self._ask(asked, path, params or {})

    def _ask(self, asked: str, path: str, params: Mapping[str, Any]) -> Any:
        data = self._patience.with_read(lambda: self._send("GET", path, params), asked, self.note)
        self._kept[asked] = data
        if self._evidence is not None:
            self._evidence.record("api", asked, json.dumps(data, separators=(",", ":"), ensure_ascii=False))
        return data

    def note(self, retry: str) -> None:
        """Keep a sentence about something that had to be done twice."""
        with self._lock:
            self.counts.retries.append(retry)

    def _send(self, method: str, path: str, params: Mapping[str, Any]) -> Any:
        try:
            return self._send_with_ticket(method, path, params)
        except Forbidden as refusal:
            # Only now is the session free again: the advice asks PVE for the roles, which everybody may read.
            if not refusal.path or self.purpose == "root" or path.startswith("/access/"):
                raise
            advice = advise_client(self, refusal.path, refusal.privileges)
            raise Forbidden(tried=refusal.tried, on=refusal.on, happened=refusal.happened, do=advice) from refusal

    def _send_with_ticket(self, method: str, path: str, params: Mapping[str, Any]) -> Any:
        """A ticket that PVE refuses is renewed once: a refused request has done nothing."""
        try:
            return self._send_once(method, path, params)
        except Expired as refusal:
            if not isinstance(self._auth, TicketAuth):
                raise
            self.note(f"{method} {path}: {refusal.happened}; logged in again")
            self._auth.renew()
            return self._send_once(method, path, params)

    def _send_once(self, method: str, path: str, params: Mapping[str, Any]) -> Any:
        write = method != "GET"
        call = Call(method, path, self.url, self.who, self._secret_at, write)
        with self._session() as session:
            with self._lock:
                self.counts.writes += write
                self.counts.reads += not write
            try:
                resource = ProxmoxResource(base_url=f"{self.url}/api2/json", session=session, serializer=_Serializer())
                return getattr(resource(path.strip("/")), method.lower())(**encode(params))
            except ResourceException as error:
                raise from_answer(error, session.message, call) from error
            except (requests.exceptions.InvalidURL, ValueError, KeyError, TypeError) as error:
                raise not_pve(str(error)[:200], call) from error
            except requests.RequestException as error:
                raise from_transport(error, call) from error

    @contextmanager
    def _session(self) -> Iterator[_Session]:
        """One of the few sessions, used by one thread at a time (proxmoxer's are not safe to share)."""
        session = self._idle.get()
        try:
            session = session or self._new_session()
            yield session
        finally:
            self._idle.put(session)

    def _new_session(self) -> _Session:
        session = _Session()
        session.may_write = self._may_write
        session.trust_env = False  # neither proxies nor CA bundles come from the environment
        session.verify = str(self._ca_file) if self._ca_file else True
        session.mount("https://", self._adapter())
        session.auth = _Auth(self._auth, session.verify)
        return session


class Writer(Client):
    """Reads and writes. A write is sent again only when it certainly did not arrive; `Dropped` means that the caller
    has to look what came of it."""

    _may_write = True

    def post(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._write("POST", path, params)

    def put(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._write("PUT", path, params)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._write("DELETE", path, params)

    def upload(self, path: str, fields: Mapping[str, str], file: Path, name: str) -> Any:
        """Send a file as a form's last field, called `filename` as PVE wants it; never held in memory as a whole."""
        self._kept.clear()
        return self._patience.with_write(lambda: self._upload_once(path, fields, file, name), f"POST {path}", self.note)

    def _upload_once(self, path: str, fields: Mapping[str, str], file: Path, name: str) -> Any:
        call = Call("POST", path, self.url, self.who, self._secret_at, True)
        with self._session() as session, file.open("rb") as content:
            with self._lock:
                self.counts.writes += 1
            body = Multipart(fields, content, name)
            try:
                # Past proxmoxer, which would read the whole file into memory.
                response = requests.Session.request(
                    session,
                    "POST",
                    f"{self.url}/api2/json{path}",
                    data=body,
                    headers={"Content-Type": body.content_type},
                    allow_redirects=False,
                )
                return _uploaded(response, call)
            except requests.RequestException as error:
                raise from_transport(error, call) from error

    def _write(self, method: str, path: str, params: Mapping[str, Any] | None) -> Any:
        self._kept.clear()
        return self._patience.with_write(lambda: self._send(method, path, params or {}), f"{method} {path}", self.note)


def _uploaded(response: requests.Response, call: Call) -> Any:
    body = _json(response)
    if response.status_code >= 400:
        said = body if isinstance(body, dict) else {}
        error = ResourceException(response.status_code, response.reason, response.reason, said.get("errors"))
        raise from_answer(error, str(said.get("message") or ""), call)
    if not isinstance(body, dict) or "data" not in body:
        raise not_pve(f"status {response.status_code} without data", call)
    return body["data"]


def require_reader(client: Client) -> Client:
    """`client`, for those who may only be given one that cannot write."""
    if type(client) is not Client:
        raise ReadOnly(f"{client!r} could write")
    return client


class _Auth(ProxmoxHTTPAuthBase):  # type: ignore[misc]  # proxmoxer has no types
    """proxmoxer's session asks its auth object for these; the credential itself is ours."""

    def __init__(self, credential: TokenAuth | TicketAuth | None, verify: bool | str) -> None:
        super().__init__(timeout=None, verify_ssl=verify)
        self._credential = credential

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return self._credential(request) if self._credential else request


@overload
def connect(
    api: Api,
    *,
    purpose: Purpose,
    secret: Secret,
    evidence: Evidence | None = None,
    read_only: Literal[True],
    fingerprint: str | None = None,
    user: str = "root@pam",
) -> Client: ...
@overload
def connect(
    api: Api,
    *,
    purpose: Purpose,
    secret: Secret,
    evidence: Evidence | None = None,
    read_only: Literal[False],
    fingerprint: str | None = None,
    user: str = "root@pam",
) -> Writer: ...
def connect(
    api: Api,
    *,
    purpose: Purpose,
    secret: Secret,
    evidence: Evidence | None = None,
    read_only: bool,
    fingerprint: str | None = None,
    user: str = "root@pam",
) -> Client:
    """A client for the API; nothing is sent yet.

    `purpose` names the token of the inventory; `root` logs in as `user` with the password in `secret`.
    `fingerprint` is the text behind `api.fingerprint` when that is a reference.
    """
    _check(api, purpose)
    pin = fingerprint or (api.fingerprint if isinstance(api.fingerprint, str) else None)
    if api.ca_file is None and pin is None:
        raise Invalid(
            tried="connect to PVE's API",
            on=api.url,
            happened="the inventory pins neither a certificate authority nor a fingerprint (or its reference was not "
            "read)",
            do="Give exactly one of ca_file and fingerprint; there is no switch that turns the check off",
        )
    kind = Client if read_only else Writer
    if purpose == "root":
        client = kind(api, pin, user, "the file of the root password", evidence)
        client._auth = TicketAuth(lambda: _log_in(api, pin, user, secret))
        return client
    token = api.tokens[purpose]
    client = kind(api, pin, token.id, _where(token), evidence)
    client.purpose = purpose
    client._auth = TokenAuth(token.id, secret)
    return client


def _log_in(api: Api, pin: str | None, user: str, password: Secret) -> tuple[Secret, Secret]:
    """A ticket and its CSRF token; the log-in itself needs no credential, so it has a client of its own."""
    door = Writer(api, pin, user, "the file of the root password", None)
    answer = door.post("/access/ticket", {"username": user, "password": password.reveal()})
    if answer.get("NeedTFA"):
        raise HarnessError(
            tried=f"log in as {user}",
            on=api.url,
            happened="PVE asks for a second factor",
            do="Use an API token of that user: tokens need no second factor",
        )
    return Secret(answer["ticket"]), Secret(answer["CSRFPreventionToken"])


def _check(api: Api, purpose: Purpose) -> None:
    if urlsplit(api.url).scheme != "https":
        raise Invalid(
            tried="connect to PVE's API",
            on=api.url,
            happened="the address is not an https:// one",
            do="Write it as https://host:8006 in the inventory",
        )
    if purpose != "root" and purpose not in api.tokens:
        raise Invalid(
            tried=f"connect to PVE's API to {purpose}",
            on=api.url,
            happened=f"the inventory names no API token for {purpose!r}",
            do=f"Add api.tokens.{purpose} with its id and where its secret is kept",
        )


def _where(token: ApiToken) -> str:
    ref: SecretRef = token.secret
    words = {"env": "the environment variable", "file": "the file", "command": "what the command prints:"}
    value = ref.value if isinstance(ref.value, str) else " ".join(ref.value)
    return f"{words.get(ref.kind, 'the vault variable')} {value}"


def _json(response: requests.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
