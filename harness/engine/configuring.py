"""Give the VM its declared configuration before its first start, and prove the MAC by reading it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.contract import Guest
from harness.engine.job import Job
from harness.errors import HarnessError, Unsafe
from harness.observed import ObservedGuest
from harness.plan.marks import is_unfinished, tags_of, without_unfinished
from harness.pve import guests, wire
from harness.pve.errors import Conflict, Dropped, Locked
from harness.wait import wait_until

TRIES = 4
Find = Callable[[Guest, ObservedGuest], dict[str, Any]]  # what is left to change


def configure(job: Job, vm: ObservedGuest) -> ObservedGuest:
    """The VM as it was read back, with nothing left to change."""
    if vm.status == "running" and _nic_differs(job.guest, vm):
        raise Unsafe(
            tried="configure the guest",
            on=job.on,
            happened="somebody started it before its MAC was set",
            do=f"Stop VM {job.guest.vmid}, then run the same command again",
        )
    return settle_changes(job, vm, wanted_changes)


def finish(job: Job, vm: ObservedGuest) -> ObservedGuest:
    """Take the mark away that says half made: the last write of a guest."""
    return settle_changes(job, vm, _finishing, merges=True)


def wanted_changes(guest: Guest, vm: ObservedGuest) -> dict[str, Any]:
    """The keys of the configuration that are not as declared, as PVE takes them; empty when there is nothing to do."""
    present = str(vm.config.get(guest.nic.slot, ""))
    wanted: dict[str, tuple[Any, bool]] = {
        "name": (guest.name, vm.name != guest.name),
        guest.nic.slot: (wire.render_nic(guest.nic, present), _nic_differs(guest, vm)),
        "memory": (guest.memory_mib, vm.memory_mib != guest.memory_mib),
        "cores": (guest.cores, vm.cores != guest.cores),
        "onboot": (True, not vm.onboot),
        "startup": (
            wire.render_startup(guest.start_order, guest.start_delay_s),
            (vm.start_order, vm.start_delay_s) != (guest.start_order, guest.start_delay_s),
        ),
        "protection": (True, not vm.protection),
        "agent": ("1", not vm.agent),
        # The template's own tags would be inherited; a management VM has ours and its category, nothing else.
        "tags": (wire.render_tags(tags_of(guest)), vm.tags != tags_of(guest)),
    }
    changes = {key: value for key, (value, differs) in wanted.items() if differs}
    if "cores" in changes and str(vm.config.get("sockets", "1")) != "1":
        changes["sockets"] = 1
    return changes


def _finishing(_: Guest, vm: ObservedGuest) -> dict[str, Any]:
    return {"description": without_unfinished(vm.description)} if is_unfinished(vm.description) else {}


def _nic_differs(guest: Guest, vm: ObservedGuest) -> bool:
    seen, nic = vm.nics.get(guest.nic.slot), guest.nic
    # Case and all: what is read back is what the inventory says.
    return seen is None or (seen.mac, seen.bridge, seen.model, seen.vlan_tag) != (
        nic.mac,
        nic.bridge,
        nic.model,
        nic.vlan_tag,
    )


def settle_changes(job: Job, vm: ObservedGuest, find: Find, *, merges: bool = False) -> ObservedGuest:
    """Write what differs and read it back, until nothing differs; the truth is what is read, not what was answered.

    PVE stores some changes it answers with an error to, and loses answers to changes it has made. What somebody else
    writes meanwhile is not overwritten: with `merges` the new value keeps theirs, without it that is an error.
    """
    failure: HarnessError | None = None
    for _ in range(TRIES):
        changes = find(job.guest, vm)
        if not changes:
            return vm
        job.check()
        try:
            job.remember("configure", keys=" ".join(sorted(changes)))
            guests.configure(job.writer, job.node, job.guest.vmid, changes, digest=vm.digest)
            failure = None
        except (Dropped, Locked, Conflict) as error:
            failure = error
            job.retried("configure", f"{error.happened}; reading back")
        except HarnessError as error:
            failure = error
        before, vm = vm, _read(job, vm.status)
        if failure is not None and not merges:
            _leave_to_others(job, before, vm, find(job.guest, vm))
        if failure is not None and not isinstance(failure, (Dropped, Locked, Conflict)):
            if not find(job.guest, vm):
                return vm
            raise failure
    left = find(job.guest, vm)
    if not left:
        return vm
    raise failure or Unsafe(
        tried="configure the guest",
        on=job.on,
        happened=f"PVE keeps other values than it was given for {', '.join(sorted(left))}; it was not started",
        do=f"Look at `qm config {job.guest.vmid}` on the node",
    )


def _leave_to_others(job: Job, before: ObservedGuest, now: ObservedGuest, wanted: Mapping[str, Any]) -> None:
    """A key that still is to be changed and is not as it was read was written by somebody else."""
    theirs = sorted(key for key in wanted if before.config.get(key) != now.config.get(key))
    if not theirs:
        return
    changed = "; ".join(f"{key} from {before.config.get(key)!r} to {now.config.get(key)!r}" for key in theirs)
    raise Unsafe(
        tried="configure the guest",
        on=job.on,
        happened=f"somebody else changed it meanwhile ({changed}); that was left as it is, and it was not started",
        do="Find out who; then declare that value, or run the same command again to set what is declared",
    )


def _read(job: Job, status: str) -> ObservedGuest:
    """Read the configuration back; what another process has locked for a moment is asked for again."""

    def look() -> tuple[ObservedGuest | None, str]:
        job.check()
        found = job.read(status=status)
        return (None, "not there") if found is None else (found, "there")

    waited = wait_until(look, deadline_s=3.0)
    if waited.value is None:
        raise Unsafe(
            tried="read the guest's configuration back",
            on=job.on,
            happened="the VM is gone",
            do="Somebody removed it meanwhile; run the same command again",
        )
    return waited.value
