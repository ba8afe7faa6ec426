"""Refuse to touch a VM that is not this guest's, or that somebody else works on right now."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from harness.contract import Contract, Guest
from harness.engine.events import Event, Report
from harness.engine.job import Job
from harness.engine.looks import GuestLooks
from harness.errors import HarnessError, Invalid, Refused, TaskFailed, Unsafe
from harness.journal import Journal
from harness.locking import run_lock
from harness.observed import ObservedGuest, TakenApart
from harness.plan.losses import not_ours
from harness.plan.marks import has_mark
from harness.pve import backups, guests, read
from harness.pve.client import Client, Writer
from harness.pve.errors import Absent
from harness.pve.upid import Upid, parse_upid, wait_task

# How long the task of a run that was cut off is waited for: what it does cannot be stopped half way.
EARLIER_TASK_S = 1800.0
KINDS = ("qmdestroy", "qmrestore")


class AtWork(Unsafe):
    """Something is being done to the VM now; it ends by itself."""


def changing(contract: Contract, looks: GuestLooks, report: Report) -> AbstractContextManager[None]:
    """One run at a time changes a site; what cannot be held off is told."""
    return run_lock(contract, looks.hold, lambda text: report(Event(None, None, "note", text, 0.0)))


def guest_named(contract: Contract, name: str, *, to: str) -> Guest:
    """Exactly one guest, by its whole name."""
    try:
        return contract.guest(name)
    except KeyError as error:
        known = ", ".join(guest.name for guest in contract.guests)
        raise Invalid(
            tried=to,
            on=f"site {contract.site}",
            happened=f"the inventory has no management VM named {name!r}; nothing was changed",
            do=f"Name one of: {known}",
        ) from error


def require_ours(contract: Contract, guest: Guest, vm: ObservedGuest, *, to: str) -> None:
    if (why := not_ours(contract.site, guest, vm)) is not None:
        raise Unsafe(
            tried=to,
            on=f"{guest.name} (VM {guest.vmid})",
            happened=f"{why}; nothing was changed",
            do=f"Find out whose it is; only VMs that provision made for {guest.name} are touched",
        )


def require_made(
    contract: Contract, reader: Client, guest: Guest, *, to: str, status: str | None = None
) -> ObservedGuest:
    """The guest's VM as it is now; Unsafe unless there is one, and it is ours. A given `status` is not asked for."""
    vm = read.read_guest(reader, contract.hypervisor.node, guest.vmid, status=status)
    if vm is None:
        raise Unsafe(
            tried=to,
            on=f"{guest.name} (VM {guest.vmid})",
            happened="there is no such VM on the hypervisor; nothing was changed",
            do=f"Make it: {contract.invoke(f'provision --guest {guest.name}')}",
        )
    require_ours(contract, guest, vm, to=to)
    return vm


@dataclass(frozen=True)
class Work:
    """What runs on the node now: every task, and each backup task with the VMs it has come to."""

    tasks: tuple[Upid, ...]
    backups: tuple[tuple[Upid, frozenset[int]], ...]


def read_work(client: Client, node: str) -> Work:
    return Work(tuple(guests.running_on(client, node, None)), tuple(backups.running_backups(client, node)))


def require_quiet(client: Client, node: str, vm: ObservedGuest, *, to: str, work: Work | None = None) -> None:
    """No lock, no task of its own, and no backup that may come to it; `work` has been read just now.

    AtWork where a task is the reason.
    """
    kind, busy = Unsafe, f"it is locked ({vm.lock})" if vm.lock else None
    work = work or read_work(client, node)
    running = [upid for upid in work.tasks if upid.id == str(vm.vmid)]
    if running:
        kind, busy = AtWork, f"{running[0].type} of {running[0].user} works on it ({running[0]})"
    elif mine := [upid for upid, vms in work.backups if not vms or vm.vmid in vms or not upid.id]:
        kind, busy = AtWork, f"a backup runs on {node}, and may be at this VM ({mine[0]})"
    if busy:
        raise kind(
            tried=to,
            on=f"{vm.name} (VM {vm.vmid})",
            happened=f"{busy}; nothing was changed",
            do="Wait until that has ended, then run the same command again"
            + (f"; if nothing runs any more, on the node, as root: `qm unlock {vm.vmid}`" if vm.lock else ""),
        )


def settle(writer: Writer, node: str, journal: Journal, only: int | None = None) -> dict[int, TakenApart]:
    """The guests that earlier runs took apart, once the tasks they left behind have ended."""
    apart = {vmid: one for vmid, one in journal.apart().items() if only in (None, vmid)}
    begun = journal.begun()
    for vmid, one in apart.items():
        if only is not None and vmid in begun and (clone := begun[vmid].upid) is not None:
            _wait_out(writer, parse_upid(clone), one)
        for kind in KINDS:
            for upid in guests.running_on(writer, node, vmid):
                if upid.type == kind:
                    _wait_out(writer, upid, one)
        if read.vmid_is_taken(writer, vmid):
            _require_unlocked(writer, node, one)
    return apart


def _wait_out(writer: Writer, upid: Upid, one: TakenApart) -> None:
    """Its failure is no news: what is there now is looked at next."""
    try:
        wait_task(
            writer, upid, deadline_s=EARLIER_TASK_S, tried=f"wait for the {one.by} of an earlier run", on=one.guest
        )
    except (TaskFailed, Absent):  # the node forgets old tasks
        return


def _require_unlocked(writer: Writer, node: str, one: TakenApart) -> None:
    """What a killed task leaves behind is locked for good, and only root may lift that (`skiplock`)."""
    try:
        vm = read.read_guest(writer, node, one.vmid)
    except Refused:  # a pool's token may not see what has left the pool; the plan says what is there
        return
    if vm is None or vm.lock is None or guests.running_on(writer, node, one.vmid):
        return
    rest = "" if has_mark(vm) else f" && qm destroy {one.vmid}"
    raise Unsafe(
        tried=f"go on with the {one.by} of an earlier run",
        on=f"{one.guest} (VM {one.vmid})",
        happened=f"it was left locked ({vm.lock}) and no task works on it; a token may not lift its lock",
        do=f"On the node, as root: `qm unlock {one.vmid}{rest}`, then run the same command again",
    )


def still_there(job: Job, *, to: str) -> ObservedGuest:
    vm = job.read()
    if vm is None:
        raise HarnessError(
            tried=to, on=job.on, happened="the VM is gone", do="Somebody removed it; run the same command again"
        )
    return vm
