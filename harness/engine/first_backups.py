"""Give every guest that has no backup its first one: backups are mandatory, and the job's hour may be far."""

from __future__ import annotations

import time
from collections.abc import Set

from harness.contract import Contract, Guest
from harness.engine.backing_up import back_up_one, require_backups
from harness.engine.events import GuestResult, Report
from harness.engine.job import Shared
from harness.engine.looks import GuestLooks
from harness.engine.observe import journal_of
from harness.engine.quiet import EARLIER_TASK_S, changing
from harness.engine.saved import backup_storages
from harness.errors import HarnessError
from harness.pve import backups
from harness.pve.client import Client, Writer
from harness.wait import wait_until


def unsaved(contract: Contract, reader: Client, names: Set[str] | None) -> tuple[Guest, ...]:
    """Of these guests, or of all, those without any backup. Where the inventory has no backup job, nobody wants one."""
    if contract.hypervisor.backup is None:
        return ()
    storages = backup_storages(contract, reader)
    kept = (backups.read_kept(reader, contract.hypervisor.node, name) for name in storages)
    saved = {archive.vmid for archives in kept for archive in archives}
    asked = (guest for guest in contract.guests if names is None or guest.name in names)
    return tuple(guest for guest in asked if guest.vmid not in saved)


def first_backups(
    contract: Contract,
    client: Writer,
    *,
    names: Set[str] | None,
    looks: GuestLooks,
    report: Report,
    reader: Client,
) -> tuple[GuestResult, ...]:
    """One result for each guest that had none; after a failure no other is tried, since it would fail the same way."""
    if not unsaved(contract, reader, names):
        return ()
    with changing(contract, looks, report):
        shared = Shared(contract, client, looks, journal_of(contract), report, 0.0)
        _wait_for_others(shared)
        results = {guest.name: GuestResult(guest.name, guest.vmid) for guest in unsaved(contract, reader, names)}
        for guest in (contract.guest(name) for name in results):
            if not _is_saved(shared, guest, results[guest.name], reader):
                break
    return tuple(results.values())


def _is_saved(shared: Shared, guest: Guest, result: GuestResult, reader: Client) -> bool:
    began = time.monotonic()
    try:
        storage = require_backups(shared.contract, shared.writer, reader, [guest])
        done = back_up_one(shared, guest, storage)
    except HarnessError as error:
        result.error = error
        shared.tell(guest.name, "backup", "failed", str(error))
        return False
    result.outcome = "saved"
    result.seconds["backup"] = round(time.monotonic() - began, 3)
    result.warnings.extend(done.warnings)
    return True


def _wait_for_others(shared: Shared) -> None:
    """The backup of a run that was cut off, or the job's own: it may be the very one that is missing."""
    node = shared.contract.hypervisor.node
    told = False

    def look() -> tuple[bool | None, str]:
        nonlocal told
        running = backups.running_backups(shared.writer, node)
        if running and not told:
            told = True
            shared.tell(None, None, "note", f"a backup runs ({running[0][0]}); waiting for its end")
        return (None, str(running[0][0])) if running else (True, "none")

    wait_until(look, deadline_s=EARLIER_TASK_S)
