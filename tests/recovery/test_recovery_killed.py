"""Killed at any of its writes, a rebuild or a restore is ended by the next run, whichever command that is."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from harness.journal import journal_of
from tests.engine.sweeps import ALL
from tests.engine.world import World
from tests.recovery import driving
from tests.recovery.driving import METRICS, back, belongings
from tests.simulators import ROOT


def with_backup(world: World) -> None:
    """Beside what `back` brings back."""
    back(world)
    driving.back_up(world)
    world.simulated.control(op="reset-counters")


def numbers_of_writes(world: World, run: Callable[[World], object]) -> list[int]:
    """Which requests of an undisturbed run change something."""
    run(world)
    writes = world.simulated.control(op="writes")
    return [write["number"] for write in writes if not write["path"].endswith("/agent/exec")]


def killed(world: World, command: str, kind: str, at: int = 0, **call: str) -> int:
    """How the run ended that was killed at its request of that number, or at the first such call."""
    argv = [sys.executable, "-m", "tests.recovery.run", str(world.simulated.folder)]
    argv += [world.simulated.url, world.simulated.fingerprint, command]
    with (world.simulated.folder / "run.log").open("w") as log:
        run = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log)
        world.simulated.fault(kind=kind, at=at, pid=run.pid, **call)
        run.communicate(b"\n", timeout=60)
    return run.returncode


def state(world: World) -> dict[str, object]:
    """Everything that must be the same however often it was killed."""
    moving = {"digest", "smbios1", "vmgenid", "meta", "scsi0"}
    configs = {
        vmid: {key: value for key, value in world.config(vmid).items() if key not in moving} for vmid in world.vmids()
    }
    return {
        "configs": configs,
        "belongings": belongings(world),
        "apart": journal_of(world.contract).apart(),
        "plan": world.plan_is_empty(),
    }


def provision(world: World) -> None:
    assert not world.provision(only={METRICS}).failed


@pytest.mark.parametrize(
    ("kind", "then"),
    [("kill-after", provision), ("kill-after", driving.rebuild), *([("kill-before", provision)] * ALL)],
    ids=["after, then provision", "after, then rebuild", *(["before, then provision"] * ALL)],
)
def test_a_killed_rebuild_is_ended_by_the_next_run(world: World, kind: str, then: Callable[[World], object]) -> None:
    numbers = numbers_of_writes(world, driving.rebuild)
    undisturbed = state(world)
    assert len(numbers) >= 7
    for number in numbers:
        back(world)
        assert killed(world, "rebuild", kind, number) == -signal.SIGKILL, number
        world.simulated.control(op="clear-faults")
        then(world)
        assert state(world) == undisturbed, (number, kind)
        assert world.wire.is_itself(world.contract.guest(METRICS))


@pytest.mark.parametrize("kind", ["kill-after", *(["kill-before"] * ALL)])
def test_a_killed_restore_is_ended_by_the_next_one(world: World, kind: str) -> None:
    with_backup(world)
    numbers = numbers_of_writes(world, driving.restore)
    undisturbed = state(world)
    for number in numbers:
        with_backup(world)
        assert killed(world, "restore", kind, number) == -signal.SIGKILL, number
        world.simulated.control(op="clear-faults")
        driving.restore(world)
        assert state(world) == undisturbed, (number, kind)


def test_a_killed_destroy_is_ended_by_the_next_one(world: World) -> None:
    numbers = numbers_of_writes(world, driving.destroy)
    undisturbed = state(world)
    for number in numbers:
        back(world)
        assert killed(world, "destroy", "kill-after", number) == -signal.SIGKILL, number
        world.simulated.control(op="clear-faults")
        driving.destroy(world)
        assert state(world) == undisturbed, number
