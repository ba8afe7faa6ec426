"""Read the core router, whatever its kind; a kind that cannot be read is said to be unknown, never right."""

from __future__ import annotations

from harness import errors
from harness.contract import Contract
from harness.routers import dnsmasq
from harness.routers.observed import Answer, Lease, ObservedRouter, Run

__all__ = ["Answer", "Lease", "ObservedRouter", "Run", "observe"]


def observe(contract: Contract, run: Run) -> ObservedRouter:
    """What the site's router holds, asked through `run` (a command on the router)."""
    router = contract.router
    if router.kind == "dnsmasq":
        return dnsmasq.observe(router.name, run)
    raise errors.Refused(
        tried="read the reservations and records",
        on=router.name,
        happened=f"a router of kind {router.kind} cannot be read yet" if router.kind else "its kind is not declared",
        do=f"Set mgmt_router.kind to dnsmasq where that is true ({router.declared}), or check this router by hand",
    )
