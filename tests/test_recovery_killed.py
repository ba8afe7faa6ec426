"""Killed at any of its writes, a rebuild or a restore is ended by the next run, whichever command that is."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from harness.engine.observe import journal_of
from tests import recovery_run
from tests.pve.served import make_certificate
from tests.simulators import ROOT, simulating
from tests.test_engine import World, world_of
from tests.test_recovery import belongings, with_jobs

METRICS = recovery_run.METRICS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three guests made; `back` brings this state back."""
    folder = tmp_path_factory.mktemp("simulated")
    with simulating(folder, *make_certificate(tmp_path_factory.mktemp("certificate"))) as simulated:
        made = world_of(simulated)
        assert not made.provision().failed
        with_jobs(made)
        recovery_run.back_up(made)
        simulated.control(op="snapshot", name="whole")
        shutil.copytree(made.contract.state_dir, folder / "whole")
        yield made


def back(world: World) -> None:
    world.simulated.control(op="clear-faults")
    world.simulated.control(op="restore", name="whole")
    shutil.rmtree(world.contract.state_dir)
    shutil.copytree(world.simulated.folder / "whole", world.contract.state_dir)
    world.simulated.control(op="reset-counters")


def numbers_of_writes(world: World, run: Callable[[World], None]) -> list[int]:
    """Which requests of an undisturbed run change something."""
    back(world)
    run(world)
    return [write["number"] for write in world.simulated.control(op="writes")]


def killed(world: World, command: str, kind: str, at: int) -> int:
    """How the run ended that was killed at its request of that number."""
    argv = [sys.executable, "-m", "tests.recovery_run", str(world.simulated.folder)]
    argv += [world.simulated.url, world.simulated.fingerprint, command]
    with (world.simulated.folder / "run.log").open("w") as log:
        run = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log)
        world.simulated.fault(kind=kind, at=at, pid=run.pid)
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
    [("kill-before", provision), ("kill-after", provision), ("kill-after", recovery_run.rebuild)],
    ids=["before, then provision", "after, then provision", "after, then rebuild"],
)
def test_a_killed_rebuild_is_ended_by_the_next_run(world: World, kind: str, then: Callable[[World], None]) -> None:
    numbers = numbers_of_writes(world, recovery_run.rebuild)
    undisturbed = state(world)
    assert len(numbers) >= 7
    for number in numbers:
        back(world)
        assert killed(world, "rebuild", kind, number) == -signal.SIGKILL, number
        world.simulated.control(op="clear-faults")
        then(world)
        assert state(world) == undisturbed, (number, kind)
        assert world.wire.is_itself(world.contract.guest(METRICS))


@pytest.mark.parametrize("kind", ["kill-before", "kill-after"])
def test_a_killed_restore_is_ended_by_the_next_one(world: World, kind: str) -> None:
    numbers = numbers_of_writes(world, recovery_run.restore)
    undisturbed = state(world)
    for number in numbers:
        back(world)
        assert killed(world, "restore", kind, number) == -signal.SIGKILL, number
        world.simulated.control(op="clear-faults")
        recovery_run.restore(world)
        assert state(world) == undisturbed, (number, kind)


def test_a_killed_destroy_is_ended_by_the_next_one(world: World) -> None:
    numbers = numbers_of_writes(world, recovery_run.destroy)
    undisturbed = state(world)
    for number in numbers:
        back(world)
        assert killed(world, "destroy", "kill-after", number) == -signal.SIGKILL, number
        world.simulated.control(op="clear-faults")
        recovery_run.destroy(world)
        assert state(world) == undisturbed, number
