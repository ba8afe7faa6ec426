"""Print the inventory that a live hypervisor would need."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from harness import inventory as inventories
from harness.commands.front import front
from harness.contract import Api, ApiToken, Contract, SecretRef
from harness.errors import HarnessError, Invalid, Missing
from harness.importing import Found, Known, import_site, known_site, new_site, read_hypervisor
from harness.printing import console
from harness.pve.client import Client, connect
from harness.remote import ssh
from harness.secrets import read_secret
from harness.site import open_contract, open_reader
from harness.tls import parse_fingerprint


@dataclass(frozen=True)
class Access:
    """How to reach a hypervisor that no inventory describes; all of it, or nothing."""

    url: str | None
    fingerprint: str | None
    token: str | None
    secret_file: Path | None
    node: str | None = None


@front
def import_inventory(folder: Path, site: str, access: Access) -> int:
    """YAML on standard output; the sums on standard error when standard output goes elsewhere."""
    api = _api(access)
    known = _known(folder, site, api)
    if api is not None:
        secret = read_secret(api.tokens["verify"].secret, base=Path())
        client = connect(api, purpose="verify", secret=secret, read_only=True)
    else:
        client = _declared_client(folder, site)
    declared = known.contract.hypervisor.node if known.contract else None
    found = read_hypervisor(client, access.node or declared)
    if known.contract is not None and any(host == known.contract.hypervisor.name for host, _ in known.unknown):
        found = _with_own_mac(found, known.contract)
    imported = import_site(found, known, client.url)
    sys.stdout.write(imported.text)
    if not sys.stdout.isatty():
        said = f"{site}: {imported.contradictions} contradictions to the contract, {imported.gaps} gaps to fill in"
        console(to_stderr=True).print(said, markup=False)
    return 0


def _with_own_mac(found: Found, contract: Contract) -> Found:
    """PVE's API tells no MAC of the node's own; the node does, where SSH lets us in."""
    port = next(iter(found.home.ports), None) if found.home else None
    if port is None or found.own_mac is not None:
        return found
    login = ssh.hypervisor_login(contract)
    try:
        with ssh.connections([login]) as opened:
            ended = ssh.run(opened, login.name, f"cat {shlex.quote(f'/sys/class/net/{port}/address')}")
    except HarnessError as error:
        console(to_stderr=True).print(f"The hypervisor's own MAC stays UNKNOWN. {error}", markup=False)
        return found
    return replace(found, own_mac=ended.stdout.strip() or None)


def _declared_client(folder: Path, site: str) -> Client:
    try:
        return open_reader(open_contract(folder, site))
    except Missing as missing:
        do = (
            f"Run ./invoke bootstrap --site {site}, which keeps it there, or give --url, --fingerprint, --token and"
            " --secret-file"
        )
        raise Missing(tried=missing.tried, on=missing.on, happened=missing.happened, do=do) from missing


def _api(access: Access) -> Api | None:
    """The given way; None where the inventory's own is meant."""
    if access.url is None and access.fingerprint is None and access.token is None and access.secret_file is None:
        return None
    if access.url is None or access.fingerprint is None or access.token is None or access.secret_file is None:
        raise _incomplete("only some of --url, --fingerprint, --token and --secret-file are given", "Give all four")
    file = access.secret_file.expanduser().absolute()
    token = ApiToken(access.token, SecretRef("file", str(file)))
    return Api(access.url.rstrip("/"), None, parse_fingerprint(access.fingerprint), {"verify": token})


def _known(folder: Path, site: str, api: Api | None) -> Known:
    names = inventories.sites(folder)
    if site in names:
        inventory = inventories.load(folder, site)
        return known_site(folder, inventory, open_contract(folder, site), inventories.survey(folder, site)[1:])
    if api is None:
        do = "Give --url, --fingerprint, --token and --secret-file of the hypervisor"
        raise _incomplete(f"{folder} has no site {site!r} that says how to reach it", do)
    others = inventories.survey(folder, names[0]) if names else []
    return new_site(folder, site, api, others)


def _incomplete(happened: str, do: str) -> Invalid:
    return Invalid(tried="import a hypervisor", on="this request", happened=happened, do=do)
