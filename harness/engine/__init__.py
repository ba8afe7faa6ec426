"""Observe a site, plan, and carry the plan out: the only writer."""

from harness.engine.events import Event, GuestResult, Provisioned
from harness.engine.looks import GuestLooks, real_looks
from harness.engine.observe import journal_of, make_plan, observe
from harness.engine.provision import Limits, provision
from harness.locking import run_lock, site_lock

__all__ = [
    "Event",
    "GuestLooks",
    "GuestResult",
    "Limits",
    "Provisioned",
    "journal_of",
    "make_plan",
    "observe",
    "provision",
    "real_looks",
    "run_lock",
    "site_lock",
]
