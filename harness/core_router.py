"""Reach the site's core router, and refuse guests that it would not give their address."""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from contextlib import contextmanager

from harness import routers
from harness.contract import Contract, Guest
from harness.errors import Unsafe
from harness.evidence import Evidence
from harness.remote import hosts, ssh
from harness.routers import Comparison, CoreRouter, compare


@contextmanager
def open_router(contract: Contract, evidence: Evidence | None = None) -> Iterator[CoreRouter]:
    """The site's core router, to look at and to change."""
    if not routers.needs_shell(contract):
        with routers.open_router(contract, evidence=evidence) as router:
            yield router
        return
    login = ssh.router_login(contract)
    with ssh.connections([login]) as opened:
        shell = hosts.runner(opened, login.name, evidence=evidence or Evidence(), source="router", timeout_s=60.0)
        with routers.open_router(contract, shell=shell) as router:
            yield router


def lease_of(router: CoreRouter, guest: Guest) -> str | None:
    """The address the router has leased to a guest."""
    held = (lease for lease in router.observe().leases if lease.mac == guest.nic.mac)
    return next((str(lease.address) for lease in held), None)


def compare_now(contract: Contract, router: CoreRouter) -> Comparison:
    return compare(contract, router.observe(), now=time.time())


def require_reservations(contract: Contract, router: CoreRouter, guests: Set[str]) -> None:
    """Unsafe when the router would not give one of these guests its address."""
    wrong = compare_now(contract, router).reservations_of(guests)
    if wrong:
        said = "; ".join(f"{one.what}: expected {one.expected}, seen {one.seen}" for one in wrong)
        raise Unsafe(
            tried="provision",
            on=f"site {contract.site}",
            happened=f"{said}; nothing was created",
            do="; ".join(dict.fromkeys(one.do for one in wrong)),
        )


def ask_for_reservations(contract: Contract, guests: Set[str]) -> None:
    """The same over a connection of its own: it may still be looking when the run has ended for another reason."""
    with open_router(contract) as router:
        require_reservations(contract, router, guests)
