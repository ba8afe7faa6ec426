"""Prove of one guest that it recovers, by doing it: only where the inventory allows it, and undone afterwards."""

from harness.engine.drills.rebuild import drill_rebuild, mend_rebuild
from harness.engine.drills.record import Record, Verdict
from harness.engine.drills.restore import drill_restore, mend_restore
from harness.engine.drills.run import Drilled

__all__ = ["Drilled", "Record", "Verdict", "drill_rebuild", "drill_restore", "mend_rebuild", "mend_restore"]
