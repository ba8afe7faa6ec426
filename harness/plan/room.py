"""Tell before the first clone whether memory, storage and thin pools will do, and what it will cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.contract import Contract
from harness.observed import ObservedGuest, ObservedSite, ObservedThinPool
from harness.plan.changes import Change, CloneChoice, Refusal

MIB = 1 << 20
GIB = 1 << 30
# What a linked clone writes in its first minutes (identity, logs); it grows to its template's size later.
LINKED_FIRST_BYTES = 256 * MIB
# A pool's metadata holds about 64 bytes for each chunk in use, and no chunk is smaller than 64 KiB.
DATA_BYTES_PER_METADATA_BYTE = 1024
METADATA_FULL, METADATA_NEARLY = 0.95, 0.80
# Larger than this, a full clone is worth saying beforehand: it is read to its end, also where it holds nothing.
LARGE_BYTES = 32 * GIB
FAST_BYTES_PER_S, SLOW_BYTES_PER_S = 400 * MIB, 50 * MIB  # a solid state disk copying onto itself, idle and at work

Findings = tuple[list[Refusal], list[str]]


def memory_findings(contract: Contract, observed: ObservedSite, cloning: bool) -> Findings:
    """All declared guests together, and whoever else runs there, against what the node has: they all start with it."""
    if not cloning:
        return [], []
    declared = sum(guest.memory_mib for guest in contract.guests)
    others = sum(vm.memory_mib for vm in _others(contract, observed))
    present = observed.node.memory_bytes // MIB
    reserve = contract.hypervisor.host_reserve_mib
    beside = f", other VMs there {others} MiB" if others else ""
    said = f"the declared guests need {declared} MiB of memory{beside}, the node has {present} MiB"
    if declared + others > present:
        return [Refusal(None, said, "Make guests smaller in the inventory, or move some to another hypervisor")], []
    if declared + others + reserve > present:
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
    pools = {storage.name: storage.thin_pool for storage in observed.storages if storage.thin_pool}
    for name, needed in now.items():
        if pool := pools.get(name):
            refused, warned = metadata_findings(name, pool, needed)
            refusals += refused
            warnings += warned
    return refusals, warnings


def metadata_findings(storage: str, pool: ObservedThinPool, needed_bytes: int) -> Findings:
    """A thin pool whose metadata ends refuses every write to every volume, whatever room its data still has."""
    if not pool.metadata_bytes:
        return [], []
    then = (pool.metadata_used_bytes + needed_bytes / DATA_BYTES_PER_METADATA_BYTE) / pool.metadata_bytes
    now = pool.metadata_used_bytes / pool.metadata_bytes
    said = (
        f"the metadata of the thin pool {pool.name} ({storage}) is {now:.0%} full and would be up to {then:.0%} "
        f"({pool.metadata_bytes / MIB:.0f} MiB)"
    )
    if then > METADATA_FULL:
        do = f"Enlarge it on the node (`lvextend --poolmetadatasize +1G {pool.name}`), or remove volumes and snapshots"
        return [Refusal(None, said, do)], []
    return [], [said] if then > METADATA_NEARLY else []


def cost_findings(changes: Sequence[Change]) -> Iterator[str]:
    """What each full clone of a large virtual disk will cost."""
    for change in changes:
        choice = change.clone
        if choice is not None and choice.mode == "full" and choice.disk_bytes >= LARGE_BYTES:
            size = choice.disk_bytes
            least, most = (_minutes(size / pace) for pace in (FAST_BYTES_PER_S, SLOW_BYTES_PER_S))
            yield (
                f"{change.guest} is a full clone ({choice.reason}) of a virtual disk of {_gib(size)}: all of it is "
                f"read, up to all of it is written to {choice.target}, and it takes about {least} to {most} minutes; "
                "a linked clone takes seconds"
            )


def _others(contract: Contract, observed: ObservedSite) -> Iterator[ObservedGuest]:
    declared = {guest.vmid for guest in contract.guests}
    for vm in observed.guests:
        if vm.vmid not in declared and not vm.template and (vm.onboot or vm.status == "running"):
            yield vm


def _minutes(seconds: float) -> int:
    return max(1, round(seconds / 60))


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
