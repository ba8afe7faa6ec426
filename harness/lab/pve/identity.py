"""Find out who is calling: tickets, CSRF tokens and API tokens, with PVE's refusals."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
import urllib.parse
from collections.abc import Mapping

from .failures import UnauthorizedError
from .state import State

TICKET_LIFE_S = 7200
CLOCK_SKEW_S = 300
_TICKET = re.compile(r"PVE:(\S+):([0-9A-F]{8})::(\S+)")


class Identity:
    """Everything that is signed with the key in the state, so a restart logs nobody out."""

    def __init__(self, state: State) -> None:
        self._state = state

    # -- passwords ------------------------------------------------------------------------------------------------
    def set_password(self, userid: str, password: str) -> None:
        salt = secrets.token_bytes(16)
        self._state["passwords"][userid] = [salt.hex(), _scrypt(password, salt)]

    def login(self, userid: str, password: str) -> None:
        """The password is right, or it is a ticket of the same user; one answer for every other case."""
        if (ticket := _TICKET.fullmatch(password)) is not None:
            good = self._signature_is_good(password) and ticket[1] == userid and self._is_fresh(int(ticket[2], 16))
        else:
            salt, wanted = self._state["passwords"].get(userid, ["00" * 16, ""])
            good = hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), wanted)
        try:
            self.check_enabled(userid)
        except UnauthorizedError:
            good = False
        if not good:
            raise UnauthorizedError("authentication failure", with_body=True)

    # -- tickets --------------------------------------------------------------------------------------------------
    def ticket(self, userid: str) -> str:
        plain = f"PVE:{userid}:{int(time.time()):08X}"
        return f"{plain}::{self._sign(plain)}"

    def csrf_token(self, userid: str) -> str:
        stamp = f"{int(time.time()):08X}"
        return f"{stamp}:{self._csrf_digest(stamp, userid)}"

    def _sign(self, plain: str) -> str:
        key = bytes.fromhex(self._state["key"])
        # As long as PVE's RSA signature, so nobody downstream gets away with a short buffer.
        blocks = [hmac.digest(key, f"{plain}/{n}".encode(), "sha512") for n in range(4)]
        return base64.b64encode(b"".join(blocks)).decode()

    def _csrf_digest(self, stamp: str, userid: str) -> str:
        key = bytes.fromhex(self._state["key"])
        digest = hmac.digest(key, f"csrf:{stamp}:{userid}".encode(), "sha256")
        return base64.b64encode(digest).decode().rstrip("=")

    def _signature_is_good(self, ticket: str) -> bool:
        plain, _, signature = ticket.partition("::")
        return hmac.compare_digest(self._sign(plain).encode(), signature.encode())

    @staticmethod
    def _is_fresh(stamp: int) -> bool:
        return -CLOCK_SKEW_S <= time.time() - stamp <= TICKET_LIFE_S

    # -- requests -------------------------------------------------------------------------------------------------
    def caller(self, method: str, headers: Mapping[str, str]) -> str:
        """The authenticated user or token of a request."""
        ticket = _ticket_in(headers)
        token = None if ticket is not None else _value_of("PVEAPIToken", headers.get("authorization", ""))
        if token is not None:
            return self._token_caller(token)
        if ticket is None:
            raise UnauthorizedError("No ticket")
        parts = _TICKET.fullmatch(ticket)
        if parts is None or not self._signature_is_good(ticket) or not self._is_fresh(int(parts[2], 16)):
            raise UnauthorizedError("permission denied - invalid PVE ticket")
        self.check_enabled(parts[1])
        if method != "GET":
            self._check_csrf(headers.get("csrfpreventiontoken", ""), parts[1])
        return parts[1]

    def _check_csrf(self, sent: str, userid: str) -> None:
        stamp, _, digest = sent.partition(":")
        good = (
            re.fullmatch(r"[0-9A-F]{8}", stamp) is not None
            and hmac.compare_digest(digest.encode(), self._csrf_digest(stamp, userid).encode())
            and self._is_fresh(int(stamp, 16))
        )
        if not good:
            raise UnauthorizedError("Permission denied - invalid csrf token")

    def _token_caller(self, sent: str) -> str:
        tokenid, equals, value = sent.rpartition("=")
        userid, exclamation, name = tokenid.rpartition("!")
        if not equals or not exclamation:
            raise UnauthorizedError("no tokenid specified")
        self.check_enabled(userid)
        record = self._state["users"][userid].get("tokens", {}).get(name)
        if record is None:
            raise UnauthorizedError(f"no such token '{name}' for user '{userid}'")
        if record.get("expire") and time.time() >= record["expire"]:
            raise UnauthorizedError(f"token '{name}' access expired")
        if not hmac.compare_digest(self._state["token_values"].get(tokenid, "").encode(), value.encode()):
            raise UnauthorizedError("invalid token value!")
        return tokenid

    def check_enabled(self, userid: str) -> None:
        record = self._state["users"].get(userid)
        if record is None:
            raise UnauthorizedError(f"no such user ('{userid}')")
        if not record.get("enable", 1):
            raise UnauthorizedError(f"user '{userid}' is disabled")
        if record.get("expire") and time.time() >= record["expire"]:
            raise UnauthorizedError(f"user '{userid}' access expired")


def _scrypt(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=1024, r=8, p=1).hex()


def _ticket_in(headers: Mapping[str, str]) -> str | None:
    """The cookie comes first, then the Authorization header."""
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == "PVEAuthCookie":
            return urllib.parse.unquote(value)
    value_in_header = _value_of("PVEAuthCookie", headers.get("authorization", ""))
    return None if value_in_header is None else urllib.parse.unquote(value_in_header)


def _value_of(key: str, header: str) -> str | None:
    """What follows `KEY=` or `KEY ` in an Authorization header."""
    match = re.fullmatch(rf"{key}[= ](.*)", header)
    return match[1] if match else None
