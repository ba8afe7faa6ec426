"""Drills: do to a site what must not hurt it, look whether it did, and leave it as it was found."""

from harness.drills.catalogue import DRILLS
from harness.drills.record import Record, read_record
from harness.drills.run import Request, conduct, request, run_drill, standing, standings
from harness.drills.standing import Standing, ago

__all__ = [
    "DRILLS",
    "Record",
    "Request",
    "Standing",
    "ago",
    "conduct",
    "read_record",
    "request",
    "run_drill",
    "standing",
    "standings",
]
