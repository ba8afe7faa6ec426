"""Say why a request over HTTPS got no answer that counts: one kind for each thing its caller can do about it."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from typing import Literal

import requests
from urllib3.exceptions import NewConnectionError

# pinned: another certificate than the pinned one. chain: none that our authority signed for that name. stalled: the
# time limit came first. absent: nobody listens. cut: the connection ended. foreign: it does not speak TLS as we do.
Kind = Literal["pinned", "chain", "stalled", "absent", "cut", "foreign"]


@dataclass(frozen=True)
class Silence:
    """`words` are the innermost cause's own; for `pinned` they are the fingerprint that was seen."""

    kind: Kind
    words: str


def read_silence(error: requests.RequestException) -> Silence:
    """What the library's exception comes down to."""
    text = _innermost(error)
    if _ended_in_the_handshake(error) or _was_damaged(error):
        return Silence("cut", text)
    if isinstance(error, requests.exceptions.SSLError):
        return _of_tls(str(error))
    if isinstance(error, requests.exceptions.ReadTimeout):
        return Silence("stalled", text)
    if isinstance(error, requests.exceptions.ConnectTimeout) or _never_connected(error):
        return Silence("absent", text)
    return Silence("cut", text)


def _of_tls(text: str) -> Silence:
    pinned = re.search(r"Expected \"?([0-9a-fA-F]+)\"?, got \"?([0-9a-fA-F]+)\"?", text)
    if pinned:
        return Silence("pinned", ":".join(re.findall("..", pinned[2].upper())))
    verification = re.search(r"(certificate verify failed: [^(]*|doesn't match[^)]*)", text)
    if verification or "CertificateError" in text:
        return Silence("chain", verification[1].strip() if verification else "the certificate is for another name")
    return Silence("foreign", _short(text))


def _ended_in_the_handshake(error: BaseException) -> bool:
    """A daemon that dies there has said nothing yet, so nothing foreign either."""
    return any(isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) for cause in _causes(error))


def _was_damaged(error: BaseException) -> bool:
    """A record nobody can read comes after the handshake: the request may have arrived, and been carried out."""
    reasons = (cause.reason for cause in _causes(error) if isinstance(cause, ssl.SSLError))
    return any("BAD_RECORD_MAC" in (reason or "") for reason in reasons)


def _never_connected(error: BaseException) -> bool:
    return any(isinstance(cause, NewConnectionError) for cause in _causes(error))


def _innermost(error: BaseException) -> str:
    """The last cause in its own words; urllib3 puts its connection objects beside them."""
    cause = _causes(error)[-1]
    words = [argument for argument in cause.args if isinstance(argument, str) and argument]
    return _short(words[-1] if words else str(cause) or type(cause).__name__)


def _causes(error: BaseException) -> list[BaseException]:
    """The chain of errors below requests' own: in `reason`, in the arguments, or in the cause."""
    found, current = [error], error
    while True:
        inner = getattr(current, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in current.args if isinstance(arg, BaseException)), None)
        if inner is None or inner in found:
            return found
        found.append(inner)
        current = inner


def _short(text: str) -> str:
    return re.sub(r"<[^>]*object at 0x[0-9a-f]+>:? ?|HTTPSConnection\([^)]*\):? ?", "", text)[:200]
