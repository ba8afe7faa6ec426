"""`provision` of five VMs and their first backups killed with SIGKILL at a call, then run again: the end is the
undisturbed one.

By default at some calls; MGMT_HARNESS_SWEEP=all takes every one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.arena import Arena, arena
from tests.engine.sweeps import CALLS
from tests.engine.world import assert_all_made

Prepared = tuple[Arena, dict[str, Any]]


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    with arena(saves=True) as made:
        yield made


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
def test_a_run_killed_at_a_call_is_finished_by_the_next(prepared: Prepared, call: int, moment: str) -> None:
    site, undisturbed = prepared
    site.reset()
    site.slow_down()
    killed = site.provision_apart(f"kill-{moment}", call)
    requests = site.control(op="moments")["requests"]
    assert killed or requests < call, f"{requests} requests, and nobody was killed"
    done = site.provision()
    assert_all_made(done)
    site.assert_ends_as(undisturbed)
    writes = [write for write in site.control(op="writes") if write["done"]]
    clones = [write["params"]["newid"] for write in writes if write["path"].endswith("/clone")]
    saved = [
        vmid for write in writes if write["path"].endswith("/vzdump") for vmid in write["params"]["vmid"].split(",")
    ]
    assert sorted(clones) == sorted(saved) == sorted(str(guest.vmid) for guest in site.world.contract.guests)
