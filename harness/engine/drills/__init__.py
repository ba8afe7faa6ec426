"""Prove recovery by doing it: only where the inventory allows it, recorded, and the site is left as it was found."""

from harness.engine.drills.rebuild import drill_rebuild
from harness.engine.drills.record import Record, Verdict, last, last_good
from harness.engine.drills.restore import drill_restore
from harness.engine.drills.run import Drilled

__all__ = ["Drilled", "Record", "Verdict", "drill_rebuild", "drill_restore", "last", "last_good"]
