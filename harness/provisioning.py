"""Plan and provision a site with all that its inventory opens: the one road behind every front door."""

from __future__ import annotations

from collections.abc import Set
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

from harness import engine, routers
from harness.contract import Contract
from harness.engine import Provisioned, routing
from harness.engine.events import Report
from harness.engine.provision import check_names
from harness.plan import Plan
from harness.report.builds import remember_builds
from harness.site import lease_of, open_reader, open_router, open_writer


def make_plan(contract: Contract, only: Set[str] | None = None) -> Plan:
    """What `carry_out` would do now, by reads only."""
    check_names(contract, only)
    return engine.make_plan(contract, open_reader(contract), only)


def carry_out(contract: Contract, report: Report, only: Set[str] | None = None) -> Provisioned:
    """Make what is missing of the guests in `only`, or of all."""
    with ExitStack() as stack:
        router = stack.enter_context(open_router(contract)) if routers.is_readable(contract) else None
        lease = partial(lease_of, router) if router else None
        done = engine.provision(
            contract,
            open_writer(contract),
            reader=open_reader(contract),
            looks=engine.real_looks(contract, lease),
            report=report,
            only=only,
            ready=partial(routing.require_reservations, contract, router) if router else None,
        )
    remember_builds(contract.state_dir, done.results, datetime.now(UTC))
    return done
