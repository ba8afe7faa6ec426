"""Ask a router's own API over pinned TLS: reads again when their answer was lost, writes never."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from requests.auth import AuthBase

from harness.contract import Contract, RouterApi, SecretRef
from harness.errors import HarnessError, Invalid, Unreachable, Untrusted
from harness.evidence import Secret
from harness.secrets import read_secret
from harness.silence import read_silence
from harness.tls import Limit, adapter_for
from harness.wait import wait_until

READ_LIMIT_S = 15.0
# A restart of Unbound takes seconds, a commit of VyOS half a minute on a small router.
WRITE_LIMIT_S = 120.0
READ_TRIES = 3


class Lost(Unreachable):
    """The answer was lost on the way; what became of a write is not known from this."""


@dataclass(frozen=True)
class Reply:
    """Status and body as they came; `data` is None where the body is no JSON."""

    status: int
    data: Any
    text: str


@dataclass(frozen=True)
class Door:
    """An open way to the router; `name` is the host, `product` what must answer there."""

    name: str
    product: str
    url: str
    session: requests.Session

    def read(self, method: str, path: str, **said: Any) -> Reply:
        """Asked up to three times when the answer is lost."""
        tries = 0

        def look() -> tuple[Reply | None, str]:
            nonlocal tries
            tries += 1
            try:
                return self.write(method, path, **said), "answered"
            except Lost as error:
                if tries >= READ_TRIES:
                    raise
                return None, error.happened

        waited = wait_until(look, deadline_s=float("inf"), first_pause_s=0.2)
        assert waited.value is not None  # noqa: S101 - no deadline: the wait ends with a value or an exception
        return waited.value

    def write(self, method: str, path: str, **said: Any) -> Reply:
        """Sent once."""
        try:
            answer = self.session.request(method, f"{self.url}{path}", allow_redirects=False, **said)
        except requests.RequestException as error:
            raise self._silent(error, f"{method} {path}") from error
        return Reply(answer.status_code, _json(answer), answer.text[:300])

    def error(self, kind: type[HarnessError], asked: str, happened: str, do: str) -> HarnessError:
        return kind(tried=f"ask {asked}", on=f"{self.name} ({self.url})", happened=happened, do=do)

    def foreign(self, asked: str, reply: Reply) -> HarnessError:
        """Something answered that is not this product's API."""
        happened = f"something answers there, but not as {self.product}'s API does ({reply.status} {reply.text[:80]!r})"
        return self.error(Unreachable, asked, happened, "Check mgmt_router.kind and mgmt_router.api.url")

    def _silent(self, error: requests.RequestException, asked: str) -> HarnessError:
        silence = read_silence(error)
        match silence.kind:
            case "pinned":
                happened = f"its certificate has the SHA-256 fingerprint {silence.words}, which is not the pinned one"
                do = "Compare it on the router itself; if it was renewed, put the new one into mgmt_router.api"
                return self.error(Untrusted, asked, happened, do)
            case "chain":
                do = "Mend mgmt_router.api.ca_file, and use a name or address that the router's certificate lists"
                return self.error(Untrusted, asked, silence.words, do)
            case "foreign":
                happened = f"something answers there, but speaks no TLS as we do ({silence.words})"
                return self.error(Unreachable, asked, happened, "Check mgmt_router.api.url")
            case "absent":
                do = "Check that the router's API is enabled, that this machine may reach it, and mgmt_router.api.url"
                return self.error(Unreachable, asked, f"nobody answers there ({silence.words})", do)
        do = "Run the same command again: it looks first at what is there"
        return self.error(Lost, asked, f"the answer was lost ({silence.kind}: {silence.words})", do)


def open_door(contract: Contract, product: str, limit: Limit, auth: AuthBase | None = None) -> Door:
    """Nothing is sent yet. `limit` gives the seconds that an answer to (method, URL) may take."""
    api = require_api(contract)
    session = requests.Session()
    session.trust_env = False  # neither proxies nor CA bundles come from the environment
    session.verify = str(api.ca_file) if api.ca_file else True
    session.auth = auth
    session.mount("https://", adapter_for(api.ca_file, _fingerprint(api, contract.site_folder), limit))
    return Door(contract.router.name, product, api.url, session)


def require_api(contract: Contract) -> RouterApi:
    if contract.router.api is None:
        raise Invalid(
            tried="open the router's API",
            on=contract.router.name,
            happened=f"the inventory does not say how to reach it ({contract.router.declared})",
            do="Declare mgmt_router.api: url, fingerprint or ca_file, key",
        )
    return contract.router.api


def secret_at(contract: Contract, ref: SecretRef) -> Secret:
    return read_secret(ref, base=contract.site_folder)


def _fingerprint(api: RouterApi, base: Path) -> str | None:
    said = api.fingerprint
    return read_secret(said, base=base).reveal() if isinstance(said, SecretRef) else said


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
