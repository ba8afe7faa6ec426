"""Know every MAC of every site in an inventory folder, and the MAC that each management VM's place asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    own, *others = inventory.survey(folder, site)
    owners = [owner for each in (own, *others) for owner in _owners(each)]
    return MacOwners(dict(_places(own)), tuple(owners))


def _places(own: Inventory) -> Iterator[tuple[str, str]]:
    for host in own.guests:
        vm = host.vm
        if vm is not None:
            yield host.name, compose_mac(own.mac_namespace, category=vm.category, group=vm.group, index=vm.index)


def _owners(each: Inventory) -> Iterator[tuple[str, str, str]]:
    for host in each.hosts.values():
        for claim in host.claims:
            if isinstance(claim.mac, str):
                yield claim.mac.lower(), each.site, host.name
