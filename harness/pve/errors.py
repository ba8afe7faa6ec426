"""Say what PVE's answer, or its silence, means: one class of error for each thing the caller can do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import requests
from proxmoxer.core import ResourceException

from harness.errors import HarnessError, Invalid, Refused, Unreachable, Untrusted
from harness.silence import Silence, read_silence


class Forbidden(Refused):
    """The credential lacks a privilege: any one of `privileges` at `path`, as far as PVE says which."""

    path: str = ""
    privileges: tuple[str, ...] = ()


class Dropped(Unreachable):
    """The answer was lost on the way: a read may be asked again, the outcome of a write is unknown."""


class Undelivered(Unreachable):
    """The request never reached PVE's daemon: nothing was done, and a write may be sent again, too."""


class DaemonDown(Undelivered):
    """PVE's proxy answers, the daemon behind it does not: somebody restarts it."""


class Expired(Refused):
    """The ticket is no longer valid: nothing was done."""


class Stalled(Dropped):
    """No answer came within the time limit; asking again costs that time once more."""


class Locked(HarnessError):
    """Somebody else is working on it; PVE did nothing."""


class Absent(HarnessError):
    """The object is not there (PVE answers 500, never 404)."""


class Conflict(HarnessError):
    """The configuration changed since it was read; PVE did nothing."""


class Rejected(HarnessError):
    """PVE understood and declined; `words` is its own sentence."""

    words: str = ""


class BadParameters(Invalid):
    """PVE does not accept a parameter; `parameters` maps its name to PVE's text."""

    parameters: Mapping[str, str] = {}


@dataclass(frozen=True)
class Call:
    """What was asked, of whom, as whom: what every sentence about a failure needs."""

    method: str
    path: str
    url: str
    who: str
    secret_at: str  # where the credential is kept, in words
    write: bool

    @property
    def tried(self) -> str:
        return f"{'ask' if self.method == 'GET' else 'send'} {self.method} {self.path}"


# Texts of qemu-server and pve-common; PVE has no codes for these, only words.
_LOCKED = re.compile(r"can't lock file .* got timeout|got lock request timeout|VM is locked \(")
_ABSENT = re.compile(r"does not exist|no such |unable to find configuration file")
_PERMISSION = re.compile(r"Permission check failed(?: \((?P<path>/[^,]*), (?P<privileges>[^)]+)\))?")
_EXPIRED = re.compile(r"invalid PVE ticket|invalid csrf token|No ticket")
_SERVER_SIDE_LOSS = {596, 597, 598, 599}
# Of a reverse proxy in front of PVE: what became of the request behind it is not known.
_GATEWAY_LOSS = {502, 503, 504}
# The configuration file system or a daemon is being restarted; a write may have come half-way.
_NOT_READY = re.compile(r"ipcc_send_rec|Transport endpoint is not connected|Device or resource busy|no worker upid")


def is_lock(words: str) -> bool:
    """Whether PVE's words, also those of a task's end, are about somebody else's lock."""
    return _LOCKED.search(words) is not None


def from_answer(error: ResourceException, message: str, call: Call) -> HarnessError:
    """The error for an answer of status 400 and above; `message` is the body's full text, if it had one."""
    words = (message or error.content or "").strip() or f"status {error.status_code} without a text"
    code = error.status_code
    if code == 401:
        return _no_entry(words, call)
    if code == 403:
        return _no_privilege(words, call)
    if code == 595:
        return DaemonDown(
            tried=call.tried,
            on=call.url,
            happened=f"PVE's proxy could not reach its daemon (595 {words})",
            do="Look at `systemctl status pvedaemon pveproxy` on the node, then run the same command again",
        )
    if code in _SERVER_SIDE_LOSS:
        return _lost(f"PVE's proxy lost the answer ({code} {words})", call)
    if code == 400:
        return _bad_parameters(words, error.errors, call)
    return _declined(code, words, call)


def from_transport(error: requests.RequestException, call: Call) -> HarnessError:
    """The error for a request that got no answer."""
    silence = read_silence(error)
    match silence.kind:
        case "pinned" | "chain":
            return _untrusted(silence, call)
        case "foreign":
            return not_pve(silence.words, call)
        case "stalled":
            return _lost(f"no answer came in time ({silence.words})", call, Stalled)
        case "absent":
            return Undelivered(
                tried=call.tried,
                on=call.url,
                happened=f"nobody answers there ({silence.words})",
                do="Check that the hypervisor is up, that this machine has a route to it, and that the inventory's API "
                "address is right",
            )
    return _lost(f"the connection was cut ({silence.words})", call)


def not_pve(detail: str, call: Call) -> Unreachable:
    """Something answered that does not speak PVE's API."""
    return Unreachable(
        tried=call.tried,
        on=call.url,
        happened=f"something answers there, but not as PVE's API does ({detail})",
        do="Check the API's address and port in the inventory (PVE listens on 8006)",
    )


def _lost(happened: str, call: Call, kind: type[Dropped] = Dropped) -> Dropped:
    unknown = "; whether the change was made is not known from this" if call.write else ""
    return kind(
        tried=call.tried,
        on=call.url,
        happened=happened + unknown,
        do="Run the same command again: it looks first at what is there",
    )


def _no_entry(words: str, call: Call) -> Refused:
    kind = Expired if _EXPIRED.search(words) else Refused
    return kind(
        tried=f"{call.tried} as {call.who}",
        on=call.url,
        happened=f"PVE does not accept the credential (401 {words})",
        do=f"Put the current secret of {call.who} into {call.secret_at}, or have a new one made "
        "(bootstrap --rotate-tokens)",
    )


def _no_privilege(words: str, call: Call) -> Forbidden:
    found = _PERMISSION.search(words)
    error = Forbidden(
        tried=f"{call.tried} as {call.who}",
        on=call.url,
        happened=f"403 {words}",
        do=f"Give the missing privilege to {call.who} and to its user, on the node",
    )
    if found and found["path"]:
        error.path, error.privileges = found["path"], tuple(found["privileges"].split("|"))
    return error


def _bad_parameters(words: str, errors: Mapping[str, str] | None, call: Call) -> HarnessError:
    texts = {name: text.strip() for name, text in (errors or {}).items() if isinstance(text, str)}
    if any(text == "no such task" for text in texts.values()):
        return Absent(tried=call.tried, on=call.url, happened="no such task", do="Look at the node's task list")
    listed = "; ".join(f"{name}: {text}" for name, text in sorted(texts.items()))
    error = BadParameters(
        tried=call.tried,
        on=call.url,
        happened=f"400 {listed or words}",
        do="Correct the value in the inventory that this parameter comes from",
    )
    error.parameters = texts
    return error


def _declined(code: int, words: str, call: Call) -> HarnessError:
    happened = f"PVE says: {words}"
    if code in _GATEWAY_LOSS or (code == 500 and _NOT_READY.search(words)):
        return _lost(f"PVE was not ready ({code} {words})", call)
    if _LOCKED.search(words):
        return Locked(
            tried=call.tried, on=call.url, happened=happened, do="Wait for the other job, then run this again"
        )
    if "checksum mismatch (file change by other user?)" in words:
        return Conflict(tried=call.tried, on=call.url, happened=happened, do="Run the same command again")
    if code == 500 and _ABSENT.search(words):
        return Absent(tried=call.tried, on=call.url, happened=happened, do="Check the name or number in the inventory")
    error = Rejected(
        tried=call.tried,
        on=call.url,
        happened=happened if code == 500 else f"{happened} (status {code})",
        do="Correct what PVE names, then run the same command again",
    )
    error.words = words
    return error


def _untrusted(silence: Silence, call: Call) -> HarnessError:
    if silence.kind == "pinned":
        return Untrusted(
            tried=call.tried,
            on=call.url,
            happened=f"the certificate there has the SHA-256 fingerprint {silence.words}, which is not the pinned one",
            do="Compare with `openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem` on the node "
            "itself; if the certificate was renewed, put the new fingerprint into the inventory",
        )
    return Untrusted(
        tried=call.tried,
        on=call.url,
        happened=silence.words,
        do="Put the node's /etc/pve/pve-root-ca.pem into the inventory's ca_file, and use a name or address that "
        "its certificate lists",
    )
