"""The simulator killed with SIGKILL at a call or right after it saved its state: what it leaves is gone on with.

The node comes back after a moment, as a daemon does (its guests run on) or as a machine after a power loss (they do
not). By default at some calls and saves; MGMT_HARNESS_SWEEP=all takes every one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.arena import Arena, arena
from tests.engine.sweeps import ALL, CALLS, SAVES
from tests.engine.world import assert_all_made

Prepared = tuple[Arena, dict[str, Any]]


@pytest.fixture(scope="module")
def prepared() -> Iterator[Prepared]:
    with arena() as made:
        yield made


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", CALLS if ALL else CALLS[::2])
def test_a_daemon_killed_at_a_call(prepared: Prepared, call: int, moment: str) -> None:
    site, undisturbed = prepared
    site.reset()
    provision_while_it_dies(site, kind=f"crash-{moment}", at=call)
    assert_the_next_run_ends_as(site, undisturbed)


@pytest.mark.parametrize("save", SAVES)
def test_the_power_lost_after_a_save(prepared: Prepared, save: int) -> None:
    site, undisturbed = prepared
    site.reset()
    site.loses_power()
    provision_while_it_dies(site, kind="crash-saved", at=save)
    assert_the_next_run_ends_as(site, undisturbed)


@pytest.mark.parametrize("task", ["qmclone", "qmstart"])
def test_the_power_lost_in_the_middle_of_a_task(prepared: Prepared, task: str) -> None:
    site, undisturbed = prepared
    site.reset()
    site.loses_power()
    provision_while_it_dies(site, kind="task-crash", task=task)
    assert_the_next_run_ends_as(site, undisturbed)


def provision_while_it_dies(site: Arena, **fault: Any) -> None:
    """The run whose hypervisor dies converges, or stops with a named cause for each guest."""
    lives = site.lives()
    site.control(op="fault", **fault)
    site.slow_down()
    done = site.world.provision()
    assert all(result.error is not None and result.error.do for result in done.failed)
    seen = site.control(op="moments")["saves" if fault["kind"] == "crash-saved" else "requests"]
    assert site.lives() == lives + 1 or seen < fault.get("at", 0), "nothing died"
    site.control(op="clear-faults")


def assert_the_next_run_ends_as(site: Arena, undisturbed: dict[str, Any]) -> None:
    assert_all_made(site.world.provision())
    site.assert_ends_as(undisturbed)
