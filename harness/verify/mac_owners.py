"""Know every MAC of every site in an inventory folder, and the MAC that each management VM's place asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import inventory
from harness.identity import compose_mac
from harness.inventory import Inventory


@dataclass(frozen=True)
class MacOwners:
    """`by_place` is the MAC of each guest's site, category, group and index; `owners` who has which MAC."""

    by_place: Mapping[str, str]
    owners: tuple[tuple[str, str, str], ...]  # MAC, site, host

    def others(self, mac: str, site: str, host: str) -> tuple[str, ...]:
        """Everybody else with this MAC."""
        return tuple(f"{name} of {at}" for held, at, name in self.owners if held == mac and (at, name) != (site, host))


def read_mac_owners(folder: Path, site: str) -> MacOwners:
    """Other sites are read as they are: their own mistakes are not this site's."""
    own = inventory.load(folder, site)
    owners = [owner for name in inventory.sites(folder) for owner in _owners(folder, name)]
    return MacOwners(dict(_places(own)), tuple(owners))


def _places(own: Inventory) -> Iterator[tuple[str, str]]:
    for host in own.guests:
        vm = host.vm
        if vm is not None:
            yield host.name, compose_mac(own.mac_namespace, category=vm.category, group=vm.group, index=vm.index)


def _owners(folder: Path, site: str) -> Iterator[tuple[str, str, str]]:
    for host, variables in inventory.variables(folder, site).items():
        interfaces: Mapping[str, Any] = (variables.get("infrastructure") or {}).get("interfaces") or {}
        for interface in interfaces.values():
            mac = (interface or {}).get("mac")
            if isinstance(mac, str):
                yield mac.lower(), site, host
