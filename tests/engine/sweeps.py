"""Which calls, saves and seeds a sweep takes: a few by default, all with MGMT_HARNESS_SWEEP=all."""

from __future__ import annotations

import os

ALL = os.environ.get("MGMT_HARNESS_SWEEP") == "all"
# A run of five guests makes about 170 requests, with their first backups 200, some more the slower PVE's workers are,
# and lets the simulator save its state about 65 times; the order of the guests' calls is another one each time, so a
# number never means one call.
CALLS = range(1, 220) if ALL else range(5, 200, 21)
SAVES = range(1, 75) if ALL else range(2, 60, 11)
SEEDS = range(1, 51) if ALL else range(2, 6)
