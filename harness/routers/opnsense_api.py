"""OPNsense's REST API: a refusal comes with status 200 as often as not, and is an error here all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from requests.auth import HTTPBasicAuth

from harness.contract import Contract
from harness.errors import HarnessError, Invalid, Refused
from harness.evidence import Evidence
from harness.routers.https import READ_LIMIT_S, WRITE_LIMIT_S, Door, Reply, open_door, require_api, secret_at

# The page in System: Access that opens the paths below it.
PAGES = {
    "kea": "Services: DHCP: Kea(v4)",
    "unbound": "Services: Unbound",
    "dnsmasq": "Services: Dnsmasq DNS/DHCP: Settings",
}

# Where its refusals have their text.
WORDS = {"errorMessage", "message"}


class Rejected(HarnessError):
    """OPNsense understood and declined; `words` is what it says."""

    words: str = ""


class NoEndpoint(HarnessError):
    """This OPNsense does not have that part of the API."""


@dataclass(frozen=True)
class OpnsenseApi:
    """`who` says which key is used; every read is on record."""

    door: Door
    who: str
    evidence: Evidence | None

    def get(self, path: str, **query: str | int) -> Mapping[str, Any]:
        """`path` is module/controller/action, as in OPNsense's documentation."""
        reply = self.door.read("GET", f"/api/{path}", params=query)
        data = self._data(f"GET {path}", reply)
        if self.evidence is not None:
            self.evidence.record("router", f"GET {path}", json.dumps(data, separators=(",", ":"), ensure_ascii=False))
        return data

    def rows(self, path: str, *, count: int = -1) -> list[dict[str, Any]]:
        """Every row of a grid; fewer than it says it has are no answer. Not every grid knows -1 for all of them."""
        found = self.get(path, current=1, rowCount=count)
        rows = found.get("rows")
        if not isinstance(rows, list) or len(rows) != found.get("total"):
            happened = f"its grid says {found.get('total')!r} rows and shows {len(rows) if rows else 0}"
            raise self.door.error(Refused, f"GET {path}", happened, "Run the same command again")
        return rows

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """What a change or a command answered; Rejected when it says that it did not do it."""
        asked = f"POST {path}"
        data = self._data(asked, self.door.write("POST", f"/api/{path}", json=body or {}))
        if data.get("result") in {"saved", "deleted"} or data.get("status") == "ok":
            return data
        raise self._rejected(asked, _words(data))

    def _data(self, asked: str, reply: Reply) -> Mapping[str, Any]:
        if reply.status == 401:
            happened = f"OPNsense does not accept {self.who} (401)"
            do = "Put the current key and secret where mgmt_router.api says, or make a new key in System: Access: Users"
            raise self.door.error(Refused, asked, happened, do)
        if reply.status == 403:
            page = PAGES.get(asked.split()[1].split("/", maxsplit=1)[0], "the missing page")
            do = f"Give the key's user the privilege “{page}” (System: Access: Users or Groups)"
            raise self.door.error(Refused, asked, f"{self.who} may not use it (403)", do)
        if reply.status == 404 and isinstance(reply.data, dict) and "errorMessage" in reply.data:
            do = "Kea's API exists since OPNsense 24.1; update the router, or check mgmt_router.kind"
            raise self.door.error(NoEndpoint, asked, "this OPNsense has no such endpoint (404)", do)
        if not isinstance(reply.data, dict) or (reply.status >= 400 and not WORDS & reply.data.keys()):
            raise self.door.foreign(asked, reply)
        if reply.status >= 400 or "errorMessage" in reply.data:
            raise self._rejected(asked, f"{_words(reply.data)} (status {reply.status})")
        return reply.data

    def _rejected(self, asked: str, words: str) -> Rejected:
        error = Rejected(
            tried=f"ask {asked}",
            on=f"{self.door.name} ({self.door.url})",
            happened=f"OPNsense says: {words}",
            do="Correct what it names, then run the same command again",
        )
        error.words = words
        return error


def _words(data: Mapping[str, Any]) -> str:
    """Validations by field, or the message, or the bare result."""
    validations = data.get("validations")
    if isinstance(validations, dict) and validations:
        return "; ".join(f"{field}: {text}" for field, text in sorted(validations.items()))
    said = [str(data[name]) for name in ("errorTitle", "errorMessage", "message", "result", "status") if name in data]
    return ": ".join(said) or json.dumps(data)[:200]


@contextmanager
def open_api(contract: Contract, evidence: Evidence | None) -> Iterator[OpnsenseApi]:
    """The API with the key pair of the inventory."""
    api = require_api(contract)
    if api.secret is None:
        happened = "mgmt_router.api has no secret, and OPNsense's keys come in pairs"
        do = "Say where the secret is kept in mgmt_router.api.secret"
        raise Invalid(tried="open the router's API", on=contract.router.name, happened=happened, do=do)
    key, secret = (secret_at(contract, ref) for ref in (api.key, api.secret))
    door = open_door(contract, "OPNsense", _limit, HTTPBasicAuth(key.reveal(), secret.reveal()))
    try:
        yield OpnsenseApi(door, "the key of mgmt_router.api", evidence)
    finally:
        door.session.close()


def _limit(method: str, _: str) -> float:
    return READ_LIMIT_S if method == "GET" else WRITE_LIMIT_S
