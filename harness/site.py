"""Open a site: its contract, and the API with the credential its inventory refers to."""

from __future__ import annotations

from pathlib import Path

from harness import embedded
from harness.contract import Contract, SecretRef
from harness.errors import Invalid, Missing
from harness.evidence import Evidence, Secret
from harness.opening import CHECKOUT, open_contract, state_folder
from harness.pve.client import Client, Purpose, Writer, connect
from harness.secrets import read_secret

__all__ = [
    "CHECKOUT",
    "open_contract",
    "open_pair",
    "open_reader",
    "open_writer",
    "state_folder",
]


def open_reader(contract: Contract, evidence: Evidence | None = None, *, purpose: Purpose = "verify") -> Client:
    """A client that cannot write, by default with the token that may not either."""
    secret, fingerprint = _credential(contract, purpose)
    api = contract.hypervisor.api
    return connect(api, purpose=purpose, secret=secret, evidence=evidence, read_only=True, fingerprint=fingerprint)


def open_writer(contract: Contract, evidence: Evidence | None = None) -> Writer:
    """The client that `provision` changes VMs with."""
    secret, fingerprint = _credential(contract, "provision")
    api = contract.hypervisor.api
    return connect(api, purpose="provision", secret=secret, evidence=evidence, read_only=False, fingerprint=fingerprint)


def open_pair(contract: Contract) -> tuple[Writer, Client]:
    """Who changes, and who sees more than the changing token; a restart of PVE's daemons is waited for by both."""
    writer, reader = open_writer(contract), open_reader(contract)
    writer.beside(reader)
    return writer, reader


def _credential(contract: Contract, purpose: str) -> tuple[Secret, str | None]:
    """The token's secret, and the certificate's fingerprint where the inventory refers to it."""
    api = contract.hypervisor.api
    token = api.tokens.get(purpose)
    if token is None:
        raise Invalid(
            tried=f"open the API for {purpose}",
            on=contract.hypervisor.name,
            happened=f"mgmt_hypervisor.api.tokens has no `{purpose}` ({contract.hypervisor.declared})",
            do=f"Declare the token's id and where its secret is kept under api.tokens.{purpose}",
        )
    _require_lab(token.secret)
    base = contract.site_folder
    try:
        fingerprint = api.fingerprint if isinstance(api.fingerprint, SecretRef) else None
        pinned = read_secret(fingerprint, base=base).reveal() if fingerprint else None
        return read_secret(token.secret, base=base), pinned
    except Missing as error:
        raise _not_bootstrapped(contract, error) from error


def _not_bootstrapped(contract: Contract, error: Missing) -> Missing:
    """On a hypervisor that nobody has bootstrapped yet, what bootstrap makes is missing."""
    do = f"Bootstrap the hypervisor, which makes it: {contract.invoke('bootstrap')}; or else: {error.do}"
    return Missing(tried=error.tried, on=error.on, happened=error.happened, do=do)


def _require_lab(secret: SecretRef) -> None:
    """A missing file of the lab's means that the lab is down, and that is what the user wants to hear."""
    if secret.kind == "file" and embedded.is_of_lab(Path(str(secret.value))) and not embedded.STATE.exists():
        raise Missing(
            tried="reach the embedded lab",
            on="this machine",
            happened="it is not up",
            do="Bring it up, then bootstrap its hypervisor: ./invoke lab.up, ./invoke bootstrap",
        )
