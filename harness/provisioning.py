"""Plan and provision a site with all that its inventory opens: the one road behind every front door."""

from __future__ import annotations

from collections.abc import Set
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial

from harness import routers
from harness.contract import Contract
from harness.core_router import ask_for_reservations, lease_of, open_router
from harness.engine import observe, provision
from harness.engine.events import Provisioned, Report
from harness.engine.first_backups import unsaved
from harness.engine.looks import real_looks
from harness.head_start import HeadStart, begin
from harness.plan import Plan
from harness.report.builds import remember_builds
from harness.site import open_pair, open_reader


def make_plan(contract: Contract, only: Set[str] | None = None) -> Plan:
    """What `carry_out` would do now, by reads only."""
    provision.check_names(contract, only)
    return observe.make_plan(contract, open_reader(contract), only)


def due_backups(contract: Contract, only: Set[str] | None = None) -> tuple[str, ...]:
    """The guests that `carry_out` would give their first backup."""
    return tuple(guest.name for guest in unsaved(contract, open_reader(contract), only))


def carry_out(
    contract: Contract,
    report: Report,
    only: Set[str] | None = None,
    *,
    backups: bool = True,
    start: HeadStart | None = None,
) -> Provisioned:
    """Make what is missing of the guests in `only`, or of all; with `backups`, each of them has one in the end.

    `start` has been begun for the same guests.
    """
    has_router = routers.is_readable(contract)
    writer, reader = open_pair(contract)
    with (
        nullcontext(start) if start else begin(contract, only) as begun,
        open_router(contract) if has_router else nullcontext() as router,
    ):
        return provision.provision(
            contract,
            writer,
            reader=reader,
            looks=real_looks(contract, partial(lease_of, router) if router else None),
            report=report,
            only=only,
            ready=partial(ask_for_reservations, contract) if has_router else None,
            saves=backups,
            ahead=begun.ahead,
            lock=begun.lock,
            built=lambda results: remember_builds(contract.state_dir, results, datetime.now(UTC)),
        )
