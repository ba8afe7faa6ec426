"""Plan and provision a site with all that its inventory opens: the one road behind every front door."""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from harness import engine, routers
from harness.contract import Contract
from harness.engine import GuestResult, Provisioned, routing
from harness.engine.events import Report
from harness.engine.first_backups import first_backups, unsaved
from harness.engine.provision import check_names
from harness.plan import Plan
from harness.site import lease_of, open_reader, open_router, open_writer


def make_plan(contract: Contract, only: Set[str] | None = None) -> Plan:
    """What `carry_out` would do now, by reads only."""
    check_names(contract, only)
    return engine.make_plan(contract, open_reader(contract), only)


def due_backups(contract: Contract, only: Set[str] | None = None) -> tuple[str, ...]:
    """The guests that `carry_out` would give their first backup."""
    return tuple(guest.name for guest in unsaved(contract, open_reader(contract), only))


def carry_out(contract: Contract, report: Report, only: Set[str] | None = None, *, backups: bool = True) -> Provisioned:
    """Make what is missing of the guests in `only`, or of all; with `backups`, each of them has one in the end."""
    with ExitStack() as stack:
        router = stack.enter_context(open_router(contract)) if routers.is_readable(contract) else None
        lease = partial(lease_of, router) if router else None
        writer, reader = open_writer(contract), open_reader(contract)
        looks = engine.real_looks(contract, lease)
        done = engine.provision(
            contract,
            writer,
            reader=reader,
            looks=looks,
            report=report,
            only=only,
            ready=partial(routing.require_reservations, contract, router) if router else None,
        )
        if not backups or done.failed:
            return done
        began = time.monotonic()
        saved = first_backups(contract, writer, names=only, looks=looks, report=report, reader=reader)
    return _joined(done, saved, writer.counts.writes, time.monotonic() - began)


def _joined(done: Provisioned, saved: Sequence[GuestResult], writes: int, seconds: float) -> Provisioned:
    """One result for each guest: a VM that was made but has no backup is not done."""
    results = {result.guest: result for result in done.results}
    for backup in saved:
        made = results.setdefault(backup.guest, backup)
        if made is not backup:
            made.seconds |= backup.seconds
            made.warnings += backup.warnings
            if backup.outcome == "failed":
                made.outcome, made.error = "failed", backup.error
    return replace(done, results=tuple(results.values()), writes=writes, seconds=done.seconds + seconds)
