"""Which calls, saves and seeds a sweep takes: a few by default, all with MGMT_HARNESS_SWEEP=all."""

from __future__ import annotations

import os

ALL = os.environ.get("MGMT_HARNESS_SWEEP") == "all"
# An undisturbed run of five guests makes about 175 requests and lets the simulator save about 60 times; the order of
# the guests' calls is another one each time, so that a number never means the same call twice.
CALLS = range(1, 190) if ALL else range(5, 175, 13)
SAVES = range(1, 75) if ALL else range(1, 60, 9)
SEEDS = range(1, 51) if ALL else range(1, 6)
