"""Carry a plan out: every guest at once within limits, and a state the next run understands at every moment."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from harness.ahead import Ahead
from harness.contract import Contract
from harness.engine.cloning import clone
from harness.engine.configuring import configure, finish
from harness.engine.events import GuestResult, Provisioned, Report
from harness.engine.first_backups import Saver, save_first, unsaved
from harness.engine.identity import personalise
from harness.engine.job import Cancelled, Job, Shared, unexpected
from harness.engine.learning import learn_keys, unlearned
from harness.engine.looks import GuestLooks
from harness.engine.observe import make_plan
from harness.engine.privileges import check_privileges
from harness.engine.quiet import settle
from harness.engine.reaching import reach
from harness.engine.starting import require_free, start
from harness.errors import HarnessError, Invalid, Unsafe
from harness.journal import journal_of
from harness.locking import Note, run_lock
from harness.plan import Change, Plan
from harness.pve.client import Client, Writer


@dataclass(frozen=True)
class Limits:
    guests_at_once: int = 10
    # A node makes one backup at a time, and that takes longest: with fewer guests at once the first of them is done
    # sooner, and the others are made while it is saved.
    guests_at_once_saving: int = 4
    agent_grace_s: float = 15.0
    # After Ctrl-C: how long guests may take to come to a point where stopping is clean.
    stopping_s: float = 5.0


def provision(
    contract: Contract,
    client: Writer,
    *,
    looks: GuestLooks,
    report: Report,
    reader: Client | None = None,
    only: Set[str] | None = None,
    limits: Limits = Limits(),
    ready: Callable[[Set[str]], None] | None = None,
    saves: bool = False,
    ahead: Ahead | None = None,
    lock: Callable[[Note], AbstractContextManager[None]] | None = None,
    built: Callable[[Sequence[GuestResult]], None] = lambda _: None,
) -> Provisioned:
    """Make what is missing and finish what is half made; differences of other VMs are in the plan, untouched.

    `reader` is the client the plan is made with, when its credential sees more than the writing one. `ready` refuses
    guests that the network would not give their address. With `saves` every guest has a backup in the end. `ahead` and
    `lock` have been begun by the caller, or are begun here when they are needed. `built` hears what became of the
    guests before their backups.
    """
    began = time.monotonic()
    reading = reader or client
    if saves:
        limits = replace(limits, guests_at_once=min(limits.guests_at_once, limits.guests_at_once_saving))
    asked = _Retries({client, reading})
    check_names(contract, only)
    questions = ahead or Ahead()
    shared = Shared(contract, client, looks, journal_of(contract), report, limits.agent_grace_s, ahead=questions)
    take = lock or partial(run_lock, contract, looks.hold)
    plan, results, notes = make_plan(contract, reading, only), tuple[GuestResult, ...](), tuple[str, ...]()
    if not _is_complete(shared, plan, only) or (saves and unsaved(contract, reading, only)):
        _ask_ahead(shared, plan, ready, limits)
        held = take(lambda text: shared.tell(None, None, "note", text))
        with shared.ahead, held, Saver(shared, reading) if saves else nullcontext() as saver:
            settle(client, contract.hypervisor.node, shared.journal)
            plan = make_plan(contract, reading, only)
            results = _carry_out(shared, plan, reading, ready, limits)
            notes = _learned(shared, plan, only)
            built(results)
            if saver is not None:
                results = _joined(results, saver.finish())
                results = _joined(results, _rest_saved(shared, reading, only, saver.taken, results))
    return Provisioned(plan, results, notes, client.counts.writes, time.monotonic() - began, asked.since())


def _is_complete(shared: Shared, plan: Plan, only: Set[str] | None) -> bool:
    """Nothing to make, to finish or to learn: where nothing is changed, nobody has to be held off."""
    learned = only is not None or not unlearned(shared.contract, plan, shared.looks)
    return plan.empty and not shared.journal.apart() and learned


def _ask_ahead(shared: Shared, plan: Plan, ready: Callable[[Set[str]], None] | None, limits: Limits) -> None:
    """What the network says is looked at while the lock is taken and clones are made."""
    for change in plan.changes[: limits.guests_at_once]:
        if change.clone is not None:
            guest = shared.contract.guest(change.guest)
            shared.ahead.ask(guest.name, partial(shared.looks.answers, guest))
    names = frozenset(change.guest for change in plan.changes)
    if ready is not None and names:
        shared.ahead.ask(names, partial(ready, names))


def _carry_out(
    shared: Shared, plan: Plan, reader: Client, ready: Callable[[Set[str]], None] | None, limits: Limits
) -> tuple[GuestResult, ...]:
    refuse(plan, shared.contract)
    names = frozenset(change.guest for change in plan.changes)
    if plan.changes:
        check_privileges(shared.contract, plan, shared.writer, reader)
        if ready is not None:
            shared.ahead.answer(names, partial(ready, names))
    for warning in plan.warnings:
        shared.tell(None, None, "note", warning)
    return _all_at_once(shared, plan.changes, limits)


def _learned(shared: Shared, plan: Plan, only: Set[str] | None) -> tuple[str, ...]:
    notes = tuple(learn_keys(shared.contract, plan, shared.writer, shared.looks)) if only is None else ()
    for note in notes:
        shared.tell(None, None, "note", note)
    return notes


def _rest_saved(
    shared: Shared, reader: Client, only: Set[str] | None, taken: Set[str], results: Sequence[GuestResult]
) -> tuple[GuestResult, ...]:
    """Those that were complete before; after a failure they are left to the next run."""
    names = (only or {guest.name for guest in shared.contract.guests}) - taken
    if not names or any(result.outcome == "failed" for result in results):
        return ()
    return save_first(shared, reader, names)


def _joined(made: Sequence[GuestResult], saved: Sequence[GuestResult]) -> tuple[GuestResult, ...]:
    """One result for each guest: a VM that was made but has no backup is not done."""
    results = {result.guest: result for result in made}
    for backup in saved:
        result = results.setdefault(backup.guest, backup)
        if result is not backup:
            result.seconds |= backup.seconds
            result.warnings += backup.warnings
            if backup.outcome == "failed":
                result.outcome, result.error = "failed", backup.error
    return tuple(results.values())


class _Retries:
    """What the clients had to ask twice since this was made."""

    def __init__(self, clients: Set[Client]) -> None:
        self._marks = [(client, len(client.counts.retries)) for client in clients]

    def since(self) -> tuple[str, ...]:
        return tuple(retry for client, mark in self._marks for retry in client.counts.retries[mark:])


def refuse(plan: Plan, contract: Contract) -> None:
    """Unsafe with every reason, when the plan has one."""
    if not plan.refusals:
        return
    first, *others = plan.refusals
    more = "".join(f"; {refusal.reason}" for refusal in others)
    raise Unsafe(
        tried="provision",
        on=f"site {contract.site}",
        happened=f"{first.reason}{more}; nothing was changed",
        do="; ".join(dict.fromkeys(refusal.do for refusal in plan.refusals)),
    )


def check_names(contract: Contract, only: Set[str] | None) -> None:
    """Invalid when the inventory has no such guest."""
    unknown = sorted((only or set()) - {guest.name for guest in contract.guests})
    if unknown:
        raise Invalid(
            tried="provision",
            on=f"site {contract.site}",
            happened=f"the inventory has no management VM named {', '.join(unknown)}",
            do=f"Name one of: {', '.join(guest.name for guest in contract.guests)}",
        )


def _all_at_once(shared: Shared, changes: tuple[Change, ...], limits: Limits) -> tuple[GuestResult, ...]:
    """One thread per guest, a few at a time. They are daemons: an end of the process never waits for PVE."""
    results = {change.guest: GuestResult(change.guest, change.vmid) for change in changes}
    waiting: queue.SimpleQueue[Change] = queue.SimpleQueue()
    for change in changes:
        waiting.put(change)
    workers = [
        threading.Thread(target=_work, args=(shared, waiting, results), daemon=True, name=f"guest-{number}")
        for number in range(min(limits.guests_at_once, len(changes)))
    ]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            while worker.is_alive():
                worker.join(0.1)  # in slices, so that Ctrl-C is heard
    except KeyboardInterrupt:
        shared.stop.set()
        shared.tell(None, None, "note", "stopping; the next run goes on from here")
        deadline = time.monotonic() + limits.stopping_s
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        raise
    return tuple(results.values())


def _work(shared: Shared, waiting: queue.SimpleQueue[Change], results: Mapping[str, GuestResult]) -> None:
    while not shared.stop.is_set():
        try:
            change = waiting.get_nowait()
        except queue.Empty:
            return
        job = Job(shared, shared.contract.guest(change.guest), change, results[change.guest])
        try:
            build(job)
            shared.done.put(job.guest.name)
        except Cancelled:
            return
        except HarnessError as error:
            _failed(job, error)
        except Exception as error:  # a bug in a thread must not look like a guest that is done
            _failed(job, unexpected("provision", job.on, error))


def build(job: Job) -> None:
    """Each step looks first at what is there, so that the same road makes a guest and finishes one."""
    job.result.mode = str(job.change.clone) if job.change.clone is not None else None
    if job.change.clone is not None:
        job.ask_for_strangers()
    with job.step("clone", job.change.detail):
        vm = clone(job)
    with job.step("configure", f"MAC {job.guest.nic.mac}, {job.guest.memory_mib} MiB, {job.guest.cores} cores"):
        vm = configure(job, vm)
    with job.step("start", "start"):
        require_free(job, vm)
        start(job, vm)
    with job.step("reach", f"wait for {job.guest.nic.mac} at {job.guest.nic.address.ip}"):
        reach(job)
    with job.step("identity", "own hostname, machine-id and host keys"):
        job.remember("identity")
        personalise(job)
    with job.step("finish", "proven; pinned"):
        finish(job, vm)
    job.remember("done")
    job.result.outcome = "created" if job.change.kind == "create" else "finished"


def _failed(job: Job, error: HarnessError) -> None:
    job.result.error = error
    job.remember("failed", error=str(error))
    job.shared.tell(job.guest.name, None, "failed", str(error))
