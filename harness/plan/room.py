"""Tell before the first clone whether memory and storage will do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.contract import Contract
from harness.observed import ObservedSite
from harness.plan.changes import CloneChoice, Refusal

MIB = 1 << 20
GIB = 1 << 30
# What a linked clone writes in its first minutes (identity, logs); it grows to its template's size later.
LINKED_FIRST_BYTES = 256 * MIB

Findings = tuple[list[Refusal], list[str]]


def memory_findings(contract: Contract, observed: ObservedSite, cloning: bool) -> Findings:
    """All declared guests together against what the node has: they all start with it."""
    if not cloning:
        return [], []
    declared = sum(guest.memory_mib for guest in contract.guests)
    present = observed.node.memory_bytes // MIB
    reserve = contract.hypervisor.host_reserve_mib
    said = f"the declared guests need {declared} MiB of memory, the node has {present} MiB"
    if declared > present:
        return [Refusal(None, said, "Make guests smaller in the inventory, or move some to another hypervisor")], []
    if declared + reserve > present:
        return [], [f"{said}, which leaves less than the {reserve} MiB kept for the host"]
    return [], []


def space_findings(cloned: Sequence[CloneChoice], observed: ObservedSite) -> Findings:
    """The new clones of each storage together against what is free there."""
    refusals, warnings = [], []
    now: dict[str, int] = defaultdict(int)
    grown: dict[str, int] = defaultdict(int)
    for choice in cloned:
        now[choice.target] += choice.disk_bytes if choice.mode == "full" else LINKED_FIRST_BYTES
        grown[choice.target] += choice.disk_bytes
    free = {storage.name: storage.available_bytes for storage in observed.storages}
    for name, needed in now.items():
        available = free.get(name)
        if available is None:
            continue  # the clone call itself will say what is wrong with that storage
        said = f"the storage {name} has {_gib(available)} free, the new clones need"
        if needed > available:
            do = f"Free space on {name} or declare another storage"
            refusals.append(Refusal(None, f"{said} {_gib(needed)}: it is full", do))
        elif grown[name] > available:
            warnings.append(f"{said} up to {_gib(grown[name])} as they grow")
    return refusals, warnings


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
