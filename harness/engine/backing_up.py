"""Back guests up now, one after the other, and see the archive before it is called done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.contract import Contract, Guest
from harness.engine.events import GuestResult, Report
from harness.engine.job import Job, Shared
from harness.engine.looks import GuestLooks
from harness.engine.observe import journal_of
from harness.engine.privileges import on_guest, require
from harness.engine.quiet import changing, guest_named, require_made, require_quiet
from harness.engine.saved import archives_of, require_of_guest, target_storage
from harness.engine.sending import do_task
from harness.errors import HarnessError
from harness.plan import Change
from harness.plan.templates import volume_bytes
from harness.pve import backups
from harness.pve.backups import Archive
from harness.pve.client import Client, Writer

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


def back_up(
    contract: Contract, client: Writer, *, names: Sequence[str], looks: GuestLooks, report: Report, reader: Client
) -> tuple[BackedUp, ...]:
    """PVE makes one backup at a time on a node, and so does this. Everything is checked before the first one."""
    guests = [guest_named(contract, name, to=TO) for name in names]
    with changing(contract, looks, report):
        storage = require_backups(contract, client, reader, guests)
        shared = Shared(contract, client, looks, journal_of(contract), report, 0.0)
        return tuple(back_up_one(shared, guest, storage) for guest in guests)


def require_backups(contract: Contract, client: Client, reader: Client, guests: Sequence[Guest]) -> str:
    """The storage the backups of these guests go to, when all of them can be made now."""
    storage = target_storage(contract, client)
    require(contract, _needs(contract, guests, storage), client, reader, to=TO)
    for guest in guests:
        _require_backupable(contract, client, reader, guest)
    return storage


def back_up_one(shared: Shared, guest: Guest, storage: str) -> BackedUp:
    """One archive more than before, with this guest's configuration in it."""
    began = time.monotonic()
    job = Job(shared, guest, Change(guest.name, guest.vmid, "finish", TO, None), GuestResult(guest.name, guest.vmid))
    contract, node = shared.contract, job.node
    earlier = {archive.volid for archive in archives_of(contract, job.writer, guest)}
    vm = job.read()
    copied = sum(volume_bytes(text) for text in vm.disks.values()) if vm is not None else 0
    with job.step("backup", f"to {storage}"):
        job.remember("backup", storage=storage)
        do_task(
            job,
            "backup",
            lambda: backups.back_up(job.writer, node, guest.vmid, storage=storage, notes=NOTES),
            kind="vzdump",
            vmid=guest.vmid,
            deadline_s=max(LEAST_DEADLINE_S, copied / SLOWEST_READ_BYTES_PER_S),
        )
        made = next((one for one in archives_of(contract, job.writer, guest) if one.volid not in earlier), None)
        if made is None or not made.size_bytes:
            raise HarnessError(
                tried=TO,
                on=job.on,
                happened=f"the task succeeded, and {storage} shows no new backup of it",
                do="Look at the storage; is its content listed whole to this token (VM.Backup on the VM's pool)?",
            )
        require_of_guest(contract, guest, made, backups.read_saved(job.writer, node, made.volid))
        job.remember("backed-up", archive=made.volid)
    return BackedUp(guest.name, made, time.monotonic() - began, tuple(job.result.warnings))


def _needs(contract: Contract, guests: Sequence[Guest], storage: str) -> list[tuple[tuple[str, ...], str]]:
    own = [need for guest in guests for need in on_guest(contract, guest, "VM.Audit", "VM.Backup")]
    return [*own, ((f"/storage/{storage}",), "Datastore.AllocateSpace")]


def _require_backupable(contract: Contract, client: Client, reader: Client, guest: Guest) -> None:
    vm = require_made(contract, reader, guest, to=TO)
    require_quiet(client, contract.hypervisor.node, vm, to=TO)
