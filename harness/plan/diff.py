"""Compare the contract with what is there: missing, half made, different, or not ours to touch."""

from __future__ import annotations

from collections.abc import Iterator, Set

from harness.contract import Contract, Guest
from harness.observed import ObservedGuest, ObservedNic, ObservedSite, TakenApart
from harness.plan.changes import Change, CloneChoice, Difference, Plan, Refusal
from harness.plan.marks import has_mark, is_unfinished, parse_provenance, tags_of
from harness.plan.room import cost_findings, memory_findings, space_findings
from harness.plan.templates import choose_clone

# The whole content of a clone's configuration until its first disk is there (qemu-server, clone_vm).
TEMPORARY = "qmclone temporary file"


def diff(contract: Contract, observed: ObservedSite, only: Set[str] | None = None) -> Plan:
    """The plan for the guests in `only`, or for all."""
    changes: list[Change] = []
    differences: list[Difference] = []
    refusals: list[Refusal] = []
    warnings: list[str] = []
    for guest in contract.guests:
        if only is not None and guest.name not in only:
            continue
        found = _judge(contract, guest, observed)
        if isinstance(found, Refusal):
            refusals.append(found)
        elif isinstance(found, Change):
            changes.append(found)
        else:
            differences.extend(found)
    cloned = [change.clone for change in changes if change.clone is not None]
    for refused, warned in (memory_findings(contract, observed, bool(cloned)), space_findings(cloned, observed)):
        refusals.extend(refused)
        warnings.extend(warned)
    warnings.extend(cost_findings(changes))
    warnings.extend(_unmarked(cloned))
    return Plan(tuple(changes), tuple(differences), _unique(refusals), tuple(warnings))


def _judge(contract: Contract, guest: Guest, observed: ObservedSite) -> Change | Refusal | list[Difference]:
    namesake = next((vm for vm in observed.guests if vm.name == guest.name and vm.vmid != guest.vmid), None)
    if namesake is not None:
        return Refusal(
            guest.name,
            f"a VM named {guest.name} exists with the VMID {namesake.vmid} instead of {guest.vmid}",
            f"Remove or rename VM {namesake.vmid}, or correct the vmid in {guest.declared}",
        )
    vm = next((vm for vm in observed.guests if vm.vmid == guest.vmid), None)
    if vm is None:
        return _absent(contract, guest, observed)
    if vm.lock == "clone" or (vm.name is None and TEMPORARY in vm.description):
        return _half_cloned(contract, guest, observed)
    return _foreign(contract, guest, vm) or _present(contract, guest, vm, observed.apart.get(guest.vmid))


def _absent(contract: Contract, guest: Guest, observed: ObservedSite) -> Change | Refusal:
    if guest.vmid in observed.hidden:
        # A clone in flight is in no pool yet, so a pool's token may not see it.
        return _half_cloned(contract, guest, observed)
    choice = choose_clone(contract, guest, observed)
    if isinstance(choice, Refusal):
        return choice
    return Change(guest.name, guest.vmid, "create", str(choice), choice)


def _half_cloned(contract: Contract, guest: Guest, observed: ObservedSite) -> Change | Refusal:
    begun = observed.begun.get(guest.vmid)
    if begun is not None and begun.guest == guest.name:
        detail = f"its clone was begun by an earlier run ({begun.upid or 'without an answer'})"
        choice = choose_clone(contract, guest, observed)  # needed again when that clone has failed meanwhile
        return choice if isinstance(choice, Refusal) else Change(guest.name, guest.vmid, "finish", detail, choice)
    return Refusal(
        guest.name,
        f"the VMID {guest.vmid} is in use by something this tool did not make on this machine and may not see whole",
        f"Look at {guest.vmid} on the node (`qm config {guest.vmid}` or `pct config {guest.vmid}`); remove it or "
        f"declare another vmid in {guest.declared}",
    )


def _foreign(contract: Contract, guest: Guest, vm: ObservedGuest) -> Refusal | None:
    provenance = parse_provenance(vm.description)
    if not has_mark(vm):
        whose = f"a foreign VM ({vm.name or 'without a name'}, no mark of this tool)"
    elif provenance is not None and (provenance.site, provenance.guest) != (contract.site, guest.name):
        whose = f"{provenance.guest} of site {provenance.site}, as its notes say"
    elif provenance is None and vm.name != guest.name:
        whose = f"{vm.name or 'a VM without a name'}, which carries our tag but no provenance line"
    elif vm.template:
        whose = f"a template ({vm.name})"
    else:
        return None
    return Refusal(
        guest.name,
        f"the VMID {guest.vmid} declared for {guest.name} is taken by {whose}",
        f"Move or remove VM {guest.vmid}, or declare another vmid in {guest.declared}",
    )


def _present(
    contract: Contract, guest: Guest, vm: ObservedGuest, apart: TakenApart | None
) -> Change | Refusal | list[Difference]:
    if is_unfinished(vm.description):
        return Change(guest.name, guest.vmid, "finish", f"half made by an earlier run ({vm.status})", None)
    if apart is not None and apart.guest == guest.name and apart.emptied and not apart.renewed:
        return Refusal(
            guest.name,
            f"a restore of {guest.name} was cut off, and nobody knows what is on its disks",
            f"End it: {contract.invoke(f'restore --guest {guest.name} --in-place')}",
        )
    if apart is not None and apart.guest == guest.name:
        return Change(guest.name, guest.vmid, "finish", f"a {apart.by} was cut off ({vm.status}): made whole", None)
    return list(differences_of(guest, vm))


def differences_of(guest: Guest, vm: ObservedGuest) -> Iterator[Difference]:
    """Each declared value that the VM does not have."""
    seen_nic = vm.nics.get(guest.nic.slot)
    pairs: list[tuple[str, object, object]] = [
        ("name", guest.name, vm.name),
        *_nic_pairs(guest, seen_nic),
        ("memory_mib", guest.memory_mib, vm.memory_mib),
        ("cores", guest.cores, vm.cores),
        ("start with the node", True, vm.onboot),
        ("start order", guest.start_order, vm.start_order),
        ("start delay", guest.start_delay_s, vm.start_delay_s),
        ("protection", True, vm.protection),
        ("guest agent", True, vm.agent),
        ("status", "running", vm.status),
    ]
    for key, expected, seen in pairs:
        if expected != seen:
            yield Difference(guest.name, key, _said(expected), _said(seen))
    if missing := tags_of(guest) - vm.tags:
        yield Difference(guest.name, "tags", " ".join(sorted(tags_of(guest))), f"without {' '.join(sorted(missing))}")


def _nic_pairs(guest: Guest, seen: ObservedNic | None) -> list[tuple[str, object, object]]:
    if seen is None:
        return [(guest.nic.slot, guest.nic.mac, None)]
    slot = guest.nic.slot
    return [
        (f"{slot} MAC", guest.nic.mac, seen.mac.lower()),
        (f"{slot} bridge", guest.nic.bridge, seen.bridge),
        (f"{slot} model", guest.nic.model, seen.model),
        (f"{slot} VLAN tag", guest.nic.vlan_tag, seen.vlan_tag),
    ]


def _unmarked(cloned: list[CloneChoice]) -> Iterator[str]:
    for name in sorted({choice.template for choice in cloned if " build=unmarked " in choice.notes}):
        yield f"template {name} does not carry the declared build mark in its notes; its clones will say build=unmarked"


def _unique(refusals: list[Refusal]) -> tuple[Refusal, ...]:
    """Ten guests without their template are one thing to do, not ten."""
    return tuple({(refusal.reason, refusal.do): refusal for refusal in refusals}.values())


def _said(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
