"""Read what a plan needs to know, by reads only."""

from __future__ import annotations

from collections.abc import Set

from harness.contract import Contract
from harness.journal import Journal
from harness.observed import ObservedSite
from harness.plan import Plan, diff
from harness.pve import read
from harness.pve.client import Client
from harness.pve.parallel import in_flight


def journal_of(contract: Contract) -> Journal:
    return Journal(contract.state_dir / "journal")


def make_plan(contract: Contract, client: Client, only: Set[str] | None = None) -> Plan:
    return diff(contract, observe(contract, client), only)


def observe(contract: Contract, client: Client) -> ObservedSite:
    """The site as this client's credential sees it, and what it cannot see is said."""
    hypervisor = contract.hypervisor
    guests = read.read_guests(client, hypervisor.node, pool=hypervisor.pool)
    sees_all = read.sees_all_guests(client)
    seen = {guest.vmid for guest in guests}
    declared = [guest.vmid for guest in contract.guests if guest.vmid not in seen]
    if sees_all:
        hidden = frozenset(declared) & frozenset(read.read_containers(client, hypervisor.node))
    else:
        taken = in_flight(lambda vmid: read.vmid_is_taken(client, vmid), declared)
        hidden = frozenset(vmid for vmid, is_taken in zip(declared, taken, strict=True) if is_taken)
    return ObservedSite(
        node=read.read_node(client, hypervisor.node),
        guests=guests,
        sees_all=sees_all,
        hidden=frozenset(int(vmid) for vmid in hidden),
        storages=read.read_visible_storages(client, hypervisor.node),
        begun=journal_of(contract).begun(),
        apart=journal_of(contract).apart(),
    )
