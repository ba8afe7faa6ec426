"""Give every guest that has no backup its first one: backups are mandatory, and the job's hour may be far."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence, Set

from harness.contract import Contract, Guest
from harness.engine.backing_up import Outcome, back_up_together, backupable, require_storage
from harness.engine.events import GuestResult, Report
from harness.engine.job import Cancelled, Shared, unexpected
from harness.engine.looks import GuestLooks
from harness.engine.quiet import EARLIER_TASK_S, AtWork, changing
from harness.engine.saved import backup_storages
from harness.errors import HarnessError
from harness.journal import journal_of
from harness.observed import ObservedGuest
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
    """One result for each guest that had none."""
    if not unsaved(contract, reader, names):
        return ()
    with changing(contract, looks, report):
        return save_first(Shared(contract, client, looks, journal_of(contract), report, 0.0), reader, names)


def save_first(shared: Shared, reader: Client, names: Set[str] | None) -> tuple[GuestResult, ...]:
    """The same for a caller that holds the site's lock; all of them in one task."""
    contract = shared.contract
    if contract.hypervisor.backup is None:
        return ()
    _wait_for_others(shared)
    guests = unsaved(contract, reader, names)
    results = {guest.name: GuestResult(guest.name, guest.vmid) for guest in guests}
    for name, outcome in (_save(shared, reader, guests) if guests else {}).items():
        result = results[name]
        if isinstance(outcome, HarnessError):
            result.error = outcome
            continue
        result.outcome = "saved"
        result.seconds["backup"] = round(outcome.seconds, 3)
        result.warnings.extend(outcome.warnings)
    return tuple(results.values())


class Saver:
    """Saves guests as they are done, while others are still made.

    A node makes one backup at a time: what is done when one of its tasks has ended shares the next one.
    """

    def __init__(self, shared: Shared, reader: Client) -> None:
        self._shared = shared
        self._reader = reader
        self._results: list[GuestResult] = []
        self.taken: set[str] = set()
        # A daemon: an end of the process never waits for PVE.
        self._thread = threading.Thread(target=self._work, daemon=True, name="saver")

    def __enter__(self) -> Saver:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._shared.stop.set()
        self._shared.done.put(None)

    def finish(self) -> tuple[GuestResult, ...]:
        """One result for each guest of `taken`, of those that were done, that had no backup."""
        self._shared.done.put(None)
        while self._thread.is_alive():
            self._thread.join(0.1)  # in slices, so that Ctrl-C is heard
        return tuple(self._results)

    def _work(self) -> None:
        try:
            for names in self._batches():
                self.taken |= names
                self._results += self._save(names)
        except Cancelled:
            return

    def _batches(self) -> Iterator[frozenset[str]]:
        """All there is, as soon as there is something."""
        more = True
        while more:
            found = [self._shared.done.get()]
            while not self._shared.done.empty():
                found.append(self._shared.done.get())
            more = None not in found
            names = frozenset(name for name in found if name is not None)
            if names and not self._shared.stop.is_set():
                yield names

    def _save(self, names: Set[str]) -> Sequence[GuestResult]:
        try:
            return save_first(self._shared, self._reader, names)
        except Cancelled:
            raise
        except HarnessError as error:
            failure = error
        except Exception as error:  # a bug in a thread must not look like a guest that is saved
            failure = unexpected("back up", ", ".join(sorted(names)), error)
        guests = (guest for guest in self._shared.contract.guests if guest.name in names)
        return [GuestResult(guest.name, guest.vmid, error=failure) for guest in guests]


def _save(shared: Shared, reader: Client, guests: Sequence[Guest]) -> Mapping[str, Outcome]:
    """What is in the way of one guest's backup is not in the way of the others'."""
    try:
        storage = require_storage(shared.contract, shared.writer, reader, guests)
        found = _once_quiet(shared, reader, guests)
        faults = {name: vm for name, vm in found.items() if isinstance(vm, HarnessError)}
        vms = {name: vm for name, vm in found.items() if not isinstance(vm, HarnessError)}
        done = back_up_together(shared, vms, storage) if vms else {}
    except HarnessError as error:
        done, faults = {}, {guest.name: error for guest in guests}
    for name, fault in faults.items():
        shared.tell(name, "backup", "failed", str(fault))
    return {**faults, **done}


def _once_quiet(shared: Shared, reader: Client, guests: Sequence[Guest]) -> Mapping[str, ObservedGuest | HarnessError]:
    """Each guest's VM, or why it cannot be saved: what an earlier run still does to one of them is waited for."""
    found: Mapping[str, ObservedGuest | HarnessError] = {}

    def look() -> tuple[bool | None, str]:
        nonlocal found
        shared.check()
        found = backupable(shared.contract, shared.writer, reader, guests)
        busy = [fault for fault in found.values() if isinstance(fault, AtWork)]
        return (None, busy[0].happened) if busy else (True, "quiet")

    wait_until(look, deadline_s=EARLIER_TASK_S)
    return found


def _wait_for_others(shared: Shared) -> None:
    """The backup of a run that was cut off, or the job's own: it may be the very one that is missing."""
    node = shared.contract.hypervisor.node
    told = False

    def look() -> tuple[bool | None, str]:
        nonlocal told
        shared.check()
        running = backups.running_backups(shared.writer, node)
        if running and not told:
            told = True
            shared.tell(None, None, "note", f"a backup runs ({running[0][0]}); waiting for its end")
        return (None, str(running[0][0])) if running else (True, "none")

    wait_until(look, deadline_s=EARLIER_TASK_S)
