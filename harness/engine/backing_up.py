"""Back VMs up now, all in one of PVE's tasks, and know that each archive is there and holds its guest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.contract import Contract, Guest
from harness.engine.events import GuestResult, Report
from harness.engine.job import Job, Shared
from harness.engine.looks import GuestLooks
from harness.engine.privileges import on_guest, require
from harness.engine.quiet import changing, guest_named, read_work, require_made, require_quiet
from harness.engine.saved import require_of_guest, target_storage
from harness.engine.sending import do_task
from harness.errors import HarnessError, TaskFailed
from harness.journal import journal_of
from harness.observed import ObservedGuest
from harness.plan import Change
from harness.plan.templates import volume_bytes
from harness.pve import backups
from harness.pve.backups import Archive, Told
from harness.pve.client import Client, Writer
from harness.pve.parallel import in_flight
from harness.pve.upid import parse_upid

TO = "back up"
LEAST_DEADLINE_S = 600.0
# A disk read slower than this has stalled; an empty one is read as fast as it is skipped.
SLOWEST_READ_BYTES_PER_S = 10 << 20
NOTES = "{{guestname}} by mgmt-harness"


@dataclass(frozen=True)
class BackedUp:
    guest: str
    archive: Archive
    seconds: float
    warnings: tuple[str, ...]


Outcome = BackedUp | HarnessError
T = TypeVar("T")


def back_up(
    contract: Contract, client: Writer, *, names: Sequence[str], looks: GuestLooks, report: Report, reader: Client
) -> tuple[BackedUp, ...]:
    """Everything is checked before the first one; an error names the first guest that has none."""
    guests = [guest_named(contract, name, to=TO) for name in names]
    with changing(contract, looks, report):
        storage = require_storage(contract, client, reader, guests)
        found = backupable(contract, client, reader, guests)
        vms = {name: good(vm) for name, vm in found.items()}
        shared = Shared(contract, client, looks, journal_of(contract), report, 0.0)
        return tuple(good(outcome) for outcome in back_up_together(shared, vms, storage).values())


def require_storage(contract: Contract, client: Client, reader: Client, guests: Sequence[Guest]) -> str:
    """The storage the backups of these guests go to, when the token may make them."""
    storage = target_storage(contract, client)
    require(contract, _needs(contract, guests, storage), client, reader, to=TO)
    return storage


def backupable(
    contract: Contract, client: Client, reader: Client, guests: Sequence[Guest]
) -> dict[str, ObservedGuest | HarnessError]:
    """Each guest's VM, or why it cannot be backed up now."""
    node, work = contract.hypervisor.node, read_work(client, contract.hypervisor.node)

    def look(guest: Guest) -> ObservedGuest | HarnessError:
        try:
            vm = require_made(contract, reader, guest, to=TO, status="of no matter")
            require_quiet(client, node, vm, to=TO, work=work)
        except HarnessError as error:
            return error
        return vm

    return dict(zip([guest.name for guest in guests], in_flight(look, guests), strict=True))


def back_up_one(shared: Shared, guest: Guest, storage: str) -> BackedUp:
    """One archive more than before, with this guest's configuration in it."""
    vm = require_made(shared.contract, shared.writer, guest, to=TO, status="of no matter")
    return good(back_up_together(shared, {guest.name: vm}, storage)[guest.name])


def back_up_together(shared: Shared, vms: Mapping[str, ObservedGuest], storage: str) -> dict[str, Outcome]:
    """One task, in which PVE makes one backup after the other; it goes on with the next one when one fails."""
    began = time.monotonic()
    jobs = [_job(shared, name) for name in vms]
    for job in jobs:
        shared.tell(job.guest.name, "backup", "begin", f"to {storage}")
    node, writer = shared.contract.hypervisor.node, shared.writer
    earlier = {archive.volid for archive in backups.read_archives(writer, node, storage)}
    failure = _run_task(jobs, storage, sum(map(_bytes, vms.values())))
    told = backups.read_told(writer, parse_upid(failure.upid)) if failure else None
    new = {one.vmid: one for one in backups.read_archives(writer, node, storage) if one.volid not in earlier}

    def judge(job: Job) -> Outcome:
        job.result.seconds["backup"] = round(time.monotonic() - began, 3)
        try:
            if failure is not None and told is not None:
                _require_finished(job, failure, told)
            archive = _proven(job, new.get(job.guest.vmid), storage)
        except HarnessError as error:
            shared.tell(job.guest.name, "backup", "failed", str(error))
            return error
        shared.tell(job.guest.name, "backup", "done", f"to {storage}")
        warnings = tuple(jobs[0].result.warnings)
        return BackedUp(job.guest.name, archive, job.result.seconds["backup"], warnings)

    outcomes = in_flight(judge, jobs)
    return {job.guest.name: outcome for job, outcome in zip(jobs, outcomes, strict=True)}


def good(outcome: T | HarnessError) -> T:
    if isinstance(outcome, HarnessError):
        raise outcome
    return outcome


def _run_task(jobs: Sequence[Job], storage: str, copied: int) -> TaskFailed | None:
    """How it failed, of one VM at least."""
    first, *others = jobs
    vmids = [job.guest.vmid for job in jobs]
    for job in jobs:
        job.remember("backup", storage=storage)
    try:
        do_task(
            first,
            "backup",
            lambda: backups.back_up(first.writer, first.node, vmids, storage=storage, notes=NOTES),
            kind="vzdump",
            vmid=None if others else first.guest.vmid,  # a task of several VMs names none
            deadline_s=max(LEAST_DEADLINE_S, copied / SLOWEST_READ_BYTES_PER_S),
            beside=others,
        )
    except TaskFailed as failure:
        return failure
    return None


def _require_finished(job: Job, failure: TaskFailed, told: Told) -> None:
    """In a task of several VMs, one's failure is not another's."""
    if job.guest.vmid in told.finished and told.failed:
        return
    why = told.failed.get(job.guest.vmid)
    if why is None:
        raise failure
    raise HarnessError(tried=TO, on=job.on, happened=f"{why} ({failure.upid})", do=failure.do)


def _proven(job: Job, made: Archive | None, storage: str) -> Archive:
    """The archive, with this guest's configuration in it."""
    if made is None or not made.size_bytes:
        raise HarnessError(
            tried=TO,
            on=job.on,
            happened=f"the task succeeded, and {storage} shows no new backup of it",
            do="Look at the storage; is its content listed whole to this token (VM.Backup on the VM's pool)?",
        )
    require_of_guest(job.shared.contract, job.guest, made, backups.read_saved(job.writer, job.node, made.volid))
    job.remember("backed-up", archive=made.volid)
    return made


def _job(shared: Shared, name: str) -> Job:
    guest = shared.contract.guest(name)
    return Job(shared, guest, Change(guest.name, guest.vmid, "finish", TO, None), GuestResult(guest.name, guest.vmid))


def _bytes(vm: ObservedGuest) -> int:
    return sum(volume_bytes(text) for text in vm.disks.values())


def _needs(contract: Contract, guests: Sequence[Guest], storage: str) -> list[tuple[tuple[str, ...], str]]:
    own = [need for guest in guests for need in on_guest(contract, guest, "VM.Audit", "VM.Backup")]
    return [*own, ((f"/storage/{storage}",), "Datastore.AllocateSpace")]
