"""Every tenth call and task fails, in all the ways they can: the site converges or stops with a named cause, and no
write that had taken effect is made again.

By default a few seeds; MGMT_HARNESS_SWEEP=all takes fifty. The same seed breaks the same calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.engine.events import Provisioned
from harness.errors import HarnessError
from tests.engine.arena import Arena, arena
from tests.engine.sweeps import SEEDS
from tests.engine.world import assert_all_made, assert_no_write_again

Prepared = tuple[Arena, dict[str, Any]]

LOCKED = "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout"
EXPIRED = {"kind": "status", "status": 401, "reason": "permission denied - invalid PVE ticket"}
CALLS: list[dict[str, Any]] = [
    {"kind": "lock"},
    {"kind": "stall", "seconds": 0.2},
    {"kind": "drop-before"},
    {"kind": "drop-after"},
    {"kind": "reset-before"},
    {"kind": "reset-after"},
    {"kind": "cut"},
    {"kind": "status", "status": 595, "reason": "Connection refused"},
    {"kind": "596"},
    {"kind": "596", "status": 597},
    {"kind": "596", "status": 599, "reason": "Too many redirections"},
    {"kind": "596-before"},
    {"kind": "status", "status": 503, "reason": "Service Unavailable"},
    {"kind": "status", "status": 500, "reason": "ipcc_send_rec[1] failed: Connection refused"},
]
TASKS: list[dict[str, Any]] = [
    {"kind": "task-warn", "text": "disk is nearly full"},
    {"kind": "task-stall", "seconds": 4},
    {"kind": "task-kill"},
    {"kind": "task-fail", "text": LOCKED},
]
RUNS = 6


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    with arena() as made:
        yield made


@pytest.mark.parametrize("seed", SEEDS)
def test_a_failing_site_converges_or_says_why(prepared: Prepared, seed: int) -> None:
    """Every fifth seed logs in as root, whose tickets expire."""
    site, undisturbed = prepared
    site.reset()
    as_root = seed % 5 == 0
    share = {"calls": [*CALLS, *([EXPIRED] * as_root)], "tasks": TASKS}
    site.control(op="chaos", seed=seed, share=0.1, **share)
    runs = list(run_until_made(site, as_root=as_root))
    print(f"seed {seed}: made in {len(runs)} runs, {sum(len(run.retries) for run in runs)} requests made again")
    site.control(op="clear-faults")
    assert_all_made(site.world.provision())
    assert assert_no_write_again(site.world.simulated) == 4 * len(site.world.contract.guests)  # the last one: finished
    site.assert_ends_as(undisturbed)


def run_until_made(site: Arena, *, as_root: bool) -> Iterator[Provisioned]:
    """Runs until every guest is made; one that does not make it names what stopped it."""
    for _ in range(RUNS):
        try:
            done = site.world.provision(**({"client": site.world.simulated.root()} if as_root else {}))
        except HarnessError as stopped:  # before the first change: the plan could not be made
            print(f"stopped: {stopped}")
            continue
        yield done
        if not done.failed:
            return
        for result in done.failed:
            assert result.error is not None
            assert result.error.do
            print(f"{result.guest}: {result.error}")
