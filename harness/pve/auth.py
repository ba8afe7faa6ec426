"""Carry the credential to PVE: an API token, or a ticket that is renewed before it ages out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests
from requests.auth import AuthBase

from harness.evidence import Secret

# A ticket lives 7200 s; renewed early enough that a long write never meets its end.
RENEW_AFTER_S = 3600.0
JUST_FETCHED_S = 1.0


@dataclass(frozen=True)
class Ticket:
    cookie: Secret
    csrf: Secret
    at: float


class TokenAuth(AuthBase):
    """`token_id` is user@realm!name."""

    def __init__(self, token_id: str, secret: Secret) -> None:
        self._token_id, self._secret = token_id, secret

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"PVEAPIToken={self._token_id}={self._secret.reveal()}"
        return request


class TicketAuth(AuthBase):
    """Logs in with `login` at the first request and again when the ticket is old; shared by all sessions."""

    def __init__(self, login: Callable[[], tuple[Secret, Secret]]) -> None:
        self._login = login
        self._lock = threading.Lock()
        self._ticket: Ticket | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        ticket = self._current()
        request.headers["Cookie"] = f"PVEAuthCookie={ticket.cookie.reveal()}"
        if request.method != "GET":
            request.headers["CSRFPreventionToken"] = ticket.csrf.reveal()
        return request

    def renew(self) -> None:
        """PVE refused the ticket; one that another thread has just fetched is kept."""
        with self._lock:
            if self._ticket is not None and time.monotonic() - self._ticket.at > JUST_FETCHED_S:
                self._ticket = None

    def _current(self) -> Ticket:
        with self._lock:
            if self._ticket is None or time.monotonic() - self._ticket.at > RENEW_AFTER_S:
                cookie, csrf = self._login()
                self._ticket = Ticket(cookie, csrf, time.monotonic())
            return self._ticket
