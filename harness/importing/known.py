"""What an inventory knows already of the site that is imported; of a new site, only what other sites agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from harness.contract import Api, Contract, SecretRef
from harness.identity import Namespace
from harness.inventory import Inventory, variables
from harness.inventory.models import Vm
from harness.inventory.site import UNKNOWN, Host, parse_address

DEFAULT_ROLES = {"observability": "01", "automation": "02", "access": "03"}


@dataclass(frozen=True)
class DeclaredVm:
    """A VM as the inventory has it."""

    name: str
    key: str  # eth0
    mac: str
    address: IPv4Address
    segment: str
    role: str
    aliases: tuple[str, ...]
    vm: Vm


@dataclass(frozen=True)
class Known:
    """`contract` is None for a site the inventory does not have."""

    site: str
    folder: str  # of all sites, as paths are printed
    api: Api
    contract: Contract | None
    variables: Mapping[str, Mapping[str, Any]]  # each host's, as they are written
    vms: Mapping[str, DeclaredVm]
    namespace: Namespace | None  # of a new site: without its own environment byte
    taken: frozenset[str]  # every MAC of every site
    unknown: tuple[tuple[str, str], ...]  # hosts that are no VMs of ours, and the interface whose MAC is UNKNOWN

    @property
    def has_environment(self) -> bool:
        """Whether the namespace says which byte is this site's own."""
        return self.contract is not None

    def written(self, host: str, *keys: str) -> dict[str, Any]:
        """What the inventory says of a host under these keys."""
        said = self.variables.get(host, {})
        return {key: said[key] for key in keys if key in said}

    def path(self, *parts: str) -> str:
        return "/".join((self.folder, self.site, *parts))


def known_site(folder: Path, inventory: Inventory, contract: Contract, others: list[Inventory]) -> Known:
    return Known(
        site=inventory.site,
        folder=folder.name,
        api=contract.hypervisor.api,
        contract=contract,
        variables=variables(folder, inventory.site),
        vms={host.name: _declared(host, host.vm) for host in inventory.guests if host.vm is not None},
        namespace=inventory.mac_namespace,
        taken=_taken([inventory, *others]),
        unknown=tuple(_unknown(inventory)),
    )


def new_site(folder: Path, site: str, api: Api, others: list[Inventory]) -> Known:
    """The layout of the MACs' bytes is the same everywhere; only the environment is the site's own."""
    ours = [one for one in others if one.is_ours]
    namespace = ours[0].mac_namespace if ours else None
    return Known(site, folder.name, api, None, {}, {}, namespace, _taken(others), ())


def reference(ref: SecretRef) -> dict[str, Any]:
    """A secret's reference as the inventory writes it."""
    return {ref.kind: ref.value if isinstance(ref.value, str) else list(ref.value)}


def _declared(host: Host, vm: Vm) -> DeclaredVm:
    key, interface = next(iter(host.env.interfaces.items()))
    address = parse_address(interface.ip)
    assert address is not None  # noqa: S101 - a sound inventory has it
    return DeclaredVm(
        name=host.name,
        key=key,
        mac=host.infrastructure.interfaces[key].mac or "",
        address=address,
        segment=interface.segment or "",
        role=host.env.role or "",
        aliases=tuple(interface.dns.cnames or ()),
        vm=vm,
    )


def _taken(inventories: list[Inventory]) -> frozenset[str]:
    return frozenset(mac.lower() for inventory in inventories for mac in inventory.macs)


def _unknown(inventory: Inventory) -> list[tuple[str, str]]:
    return [
        (host.name, claim.key)
        for host in inventory.hosts.values()
        if host.vm is None
        for claim in host.claims
        if isinstance(claim.mac, str) and claim.mac.upper() == UNKNOWN
    ]
