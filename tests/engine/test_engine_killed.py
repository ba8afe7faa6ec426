"""A run ended at any moment is finished by the next."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.engine.world import World, assert_all_made, read_tasks
from tests.simulators import ROOT


def run_apart(world: World) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.engine.run", str(world.simulated.folder), world.simulated.url]
    argv += [world.simulated.fingerprint]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the run ended without {words!r}")


MOMENTS = ["clone begin", "clone done", "configure done", "start begin", "reach begin", "identity done"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_run_ended_at_any_moment_is_finished_by_the_next(world: World, moment: str, blow: signal.Signals) -> None:
    world.simulated.fault(kind="task-stall", task="qmclone", times=1, seconds=1)
    process = run_apart(world)
    until(process, moment)
    process.send_signal(blow)
    said, _ = process.communicate(timeout=15)
    assert process.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL), said
    assert_all_made(world.provision())
    assert world.plan_is_empty()
    tasks = read_tasks(world)
    assert (tasks.count("qmclone"), tasks.count("qmdestroy")) == (3, 0)
    assert [world.config(vmid)["status"] for vmid in (130, 131, 132)] == ["running"] * 3


def test_ctrl_c_says_how_it_goes_on(world: World) -> None:
    world.wire.deaf = ("metrics-vm01",)
    process = run_apart(world)
    until(process, "reach begin")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=15)
    assert "stopping; the next run goes on from here" in said
    assert "Traceback" not in said
