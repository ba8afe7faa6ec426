"""What follows from observed values: strangers, shared identities, carriers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from datetime import date
from typing import Any

from harness.contract import Contract, Guest
from harness.observed import ObservedGuest
from harness.plan import parse_provenance
from harness.pve.wire import parse_nic
from harness.routers import ObservedRouter, compare
from harness.verify.expect import place
from harness.verify.segment_facts import SeenMac


def find_strangers(
    contract: Contract, vms: Iterable[ObservedGuest], containers: Iterable[int], today: date
) -> Iterator[str]:
    """VMs and containers that nobody declared and no exception covers."""
    excepted = {one.vmid for one in contract.exceptions if one.until >= today}
    templates = {template.name: template.vmid for template in contract.hypervisor.templates.values()}
    for vm in vms:
        declared_template = vm.template and vm.name in templates and templates[vm.name] in (None, vm.vmid)
        if not (declared_template or _is_declared(contract, vm) or vm.vmid in excepted):
            yield f"VM {vm.vmid} {vm.name or '(no name)'}"
    yield from (f"container {vmid}" for vmid in containers if vmid not in excepted)


def _is_declared(contract: Contract, vm: ObservedGuest) -> bool:
    """By number and name; a clone in flight has no name yet, and one that was renamed says in its notes whose it is."""
    guest = next((guest for guest in contract.guests if guest.vmid == vm.vmid), None)
    if guest is None:
        return False
    origin = parse_provenance(vm.description)
    return vm.name == guest.name or vm.lock == "clone" or (origin is not None and origin.guest == guest.name)


def find_ended_exceptions(contract: Contract, vms: Iterable[ObservedGuest], today: date) -> Iterator[str]:
    """Exceptions past their last day whose VM is still there."""
    present = {vm.vmid for vm in vms}
    for one in contract.exceptions:
        if one.until < today and one.vmid in present:
            yield f"VM {one.vmid} until {one.until} ({one.reason}; {place(one.declared)})"


def waiting_macs(pending: Mapping[str, Mapping[str, Any]], guest: Guest) -> dict[str, str]:
    """NICs whose MAC will be another one after the next start."""
    waiting: dict[str, str] = {}
    for key, row in pending.items():
        if not key.removeprefix("net").isdigit():
            continue
        if row.get("delete"):
            waiting[key] = "removed"
        elif "pending" in row:
            waiting[key] = parse_nic(key, str(row["pending"])).mac.lower()
    return {key: mac for key, mac in waiting.items() if (key, mac) != (guest.nic.slot, guest.nic.mac)}


def turns(orders: Mapping[str, int | None]) -> tuple[tuple[str, ...], ...]:
    """The names by ascending start order, those with the same order together; PVE starts what has none last."""
    found: dict[float, list[str]] = {}
    for name, order in sorted(orders.items()):
        found.setdefault(float("inf") if order is None else order, []).append(name)
    return tuple(tuple(found[order]) for order in sorted(found))


def carriers_of(contract: Contract, responsibility: str) -> tuple[str, ...]:
    """The guests that carry a responsibility, or the plan for it."""
    guests = tuple(guest.name for guest in contract.guests if responsibility in guest.responsibilities)
    planned = contract.planned.get(responsibility)
    return guests or ((f"planned: {planned}",) if planned else ())


def tenant_words(contract: Contract) -> tuple[str, ...]:
    """How the tenant hypervisor could be named in a guest or a storage."""
    name, address = contract.tenant_hypervisor, contract.tenant_address
    words = (name, f"{name}.{contract.domain}" if name else None, str(address) if address else None)
    return tuple(word for word in words if word)


def wrong_leases(contract: Contract, router: ObservedRouter, guest: Guest, now: float) -> tuple[str, ...]:
    """Leases that give the guest's MAC another address, or its address to another MAC."""
    found = compare(contract, router, now=now).differences
    return tuple(one.seen for one in found if one.kind == "lease" and one.host == guest.name)


def dhcp_server_of(contract: Contract) -> str:
    """The router's own address where it is in the VMs' segment, else the gateway's there."""
    subnets = [guest.nic.segment for guest in contract.guests]
    inside = not subnets or any(contract.router.address in segment.subnet for segment in subnets)
    return str(contract.router.address if inside else subnets[0].gateway)


def find_unknown_macs(
    contract: Contract, seen: Iterable[SeenMac], router: ObservedRouter, known: Set[str], now: float
) -> Iterator[str]:
    """MACs on the guests' segments that nobody declared, neither themselves nor by the address they are at."""
    declared = {record.target for record in contract.records if record.type == "A"}
    declared |= {str(contract.router.address), *(str(guest.nic.segment.gateway) for guest in contract.guests)}
    by_mac = {one.mac: one for one in seen}
    yield from (str(one) for mac, one in by_mac.items() if mac not in known and one.address not in declared)
    found = compare(contract, router, now=now).differences
    yield from (one.seen for one in found if one.kind == "stranger")
