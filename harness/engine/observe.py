"""Read what a plan needs to know, by reads only."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any

from harness.contract import Contract, VmId
from harness.journal import journal_of
from harness.observed import ObservedSite
from harness.plan import Plan, diff
from harness.pve import read
from harness.pve.client import Client
from harness.pve.parallel import in_flight


def make_plan(contract: Contract, client: Client, only: Set[str] | None = None) -> Plan:
    return diff(contract, observe(contract, client), only)


def observe(contract: Contract, client: Client) -> ObservedSite:
    """The site as this client's credential sees it, and what it cannot see is said."""
    hypervisor = contract.hypervisor
    sees_all = read.sees_all_guests(client)
    looks: tuple[Callable[[], Any], ...] = (
        lambda: read.read_guests(client, hypervisor.node, pool=hypervisor.pool),
        lambda: read.read_node(client, hypervisor.node),
        lambda: read.read_visible_storages(client, hypervisor.node),
    )
    guests, node, storages = in_flight(lambda look: look(), looks)
    seen = {guest.vmid for guest in guests}
    journal = journal_of(contract)
    return ObservedSite(
        node=node,
        guests=guests,
        sees_all=sees_all,
        hidden=_hidden(client, hypervisor.node, [guest.vmid for guest in contract.guests if guest.vmid not in seen]),
        storages=storages,
        begun=journal.begun(),
        apart=journal.apart(),
    )


def _hidden(client: Client, node: str, declared: Sequence[VmId]) -> frozenset[int]:
    """Of these numbers those in use by what this credential may not see, or by containers."""
    if not declared:
        return frozenset()
    if read.sees_all_guests(client):
        return frozenset(map(int, declared)) & frozenset(read.read_containers(client, node))
    taken = in_flight(lambda vmid: read.vmid_is_taken(client, vmid), declared)
    return frozenset(int(vmid) for vmid, is_taken in zip(declared, taken, strict=True) if is_taken)
