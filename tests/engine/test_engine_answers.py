"""Whatever becomes of a request, a task or a guest: found out, told, and gone on with."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from harness.engine.events import Event
from harness.engine.starting import STARTS
from harness.errors import TaskFailed, TimedOut
from harness.pve.errors import Locked
from tests.engine.world import World, assert_all_made, assert_no_write_again, only_error, read_tasks


def test_a_guest_without_a_lease_is_named_by_its_broken_link(world: World) -> None:
    world.contract = replace(world.contract, guest_deadline_s=3.0)
    world.wire.leaseless = ("logs-vm01",)
    done = world.provision()
    error = only_error(done)
    assert isinstance(error, TimedOut)
    assert "the chain breaks at agent" in str(error)
    assert "lease: none for this MAC" in str(error)
    assert "no route to host" in str(error)
    world.wire.leaseless = ()
    (result,) = world.provision().results
    assert (result.guest, result.outcome) == ("logs-vm01", "finished")
    assert world.plan_is_empty()


def test_a_guest_whose_sshd_is_silent_fails_in_time_and_is_finished_later(world: World) -> None:
    world.contract = replace(world.contract, guest_deadline_s=1.5)
    world.wire.deaf = ("metrics-vm01",)
    done = world.provision()
    assert isinstance(only_error(done), TimedOut)
    assert len(done.results) - len(done.failed) == 2
    world.wire.deaf = ()
    assert_all_made(world.provision())
    assert world.plan_is_empty()


def test_a_vm_that_dies_is_not_waited_for(world: World) -> None:
    world.wire.deaf = ("metrics-vm01",)
    began = threading.Event()

    def kill_it(event: Event) -> None:
        if event.step == "reach" and event.state == "begin" and not began.is_set():
            began.set()
            world.simulated.root().post("/nodes/hv01/qemu/130/status/stop")

    done = world.provision(report=kill_it, only={"metrics-vm01"})
    error = only_error(done)
    assert "it is stopped again" in str(error)
    assert done.seconds < 15


@pytest.mark.parametrize(
    ("task", "words"),
    [("qmclone", "clone failed: no space left"), ("qmstart", "start failed: QEMU exited with code 1")],
)
def test_a_failed_task_is_told_and_the_next_run_goes_on(world: World, task: str, words: str) -> None:
    world.simulated.fault(kind="task-fail", task=task, times=1, text=words)
    done = world.provision()
    error = only_error(done)
    assert isinstance(error, TaskFailed)
    assert words in str(error)
    assert error.upid in str(error)
    assert len(done.results) == 3
    assert_all_made(world.provision())
    assert world.plan_is_empty()


WRITES = ["/clone$", "/config$", "/status/start$"]


@pytest.mark.parametrize("path", WRITES, ids=["clone", "config", "start"])
@pytest.mark.parametrize("kind", ["drop-after", "drop-before", "reset-after", "cut", "596", "596-before"])
def test_a_lost_answer_to_a_write_is_found_out_not_repeated(world: World, path: str, kind: str) -> None:
    method = "PUT" if path == "/config$" else "POST"
    world.simulated.fault(method=method, path=path, times=1, kind=kind)
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert done.results[0].retries
    tasks = read_tasks(world)
    assert (tasks.count("qmclone"), tasks.count("qmstart")) == (1, 1)
    assert assert_no_write_again(world.simulated) == 4
    assert world.plan_is_empty("metrics-vm01")


@pytest.mark.parametrize("kind", ["drop-before", "596"])
def test_lost_reads_cost_nothing_but_another_read(world: World, kind: str) -> None:
    world.simulated.fault(method="GET", path="/tasks/.*/status$", times=2, kind=kind)
    world.simulated.fault(method="GET", path="/config$", times=2, kind=kind)
    assert_all_made(world.provision())


def test_a_locked_configuration_is_waited_for(world: World) -> None:
    world.simulated.fault(
        method="PUT",
        path="/config$",
        times=2,
        kind="status",
        status=500,
        reason="can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout",
    )
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert "got timeout" in done.results[0].retries[0]


def test_a_changed_configuration_is_read_again(world: World) -> None:
    reason = "checksum mismatch (file change by other user?)"
    world.simulated.fault(method="PUT", path="/config$", times=1, kind="status", status=500, reason=reason)
    assert_all_made(world.provision(only={"metrics-vm01"}))


def test_a_stalled_clone_is_waited_for(world: World) -> None:
    world.simulated.fault(kind="task-stall", task="qmclone", times=1, seconds=2)
    assert_all_made(world.provision())


def test_the_mac_is_proven_before_the_first_start(world: World) -> None:
    """A hypervisor that says OK and keeps another MAC gets no chance to start the guest with it."""
    world.simulated.fault(method="PUT", path="/config$", times=-1, kind="status", status=200, reason="OK")
    done = world.provision(only={"metrics-vm01"})
    assert "PVE keeps other values than it was given for" in str(only_error(done))
    assert "net0" in str(only_error(done))
    assert "qmstart" not in read_tasks(world)


def test_a_template_in_backup_is_waited_for(world: World) -> None:
    reason = "VM is locked (backup)"
    world.simulated.fault(method="POST", path="/clone$", times=1, kind="status", status=500, reason=reason)
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert reason in done.results[0].retries[0]


def test_a_template_locked_for_ever_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.engine.cloning.LOCK_PATIENCE_S", 0.5)
    world.simulated.control(op="edit-config", vmid=9000, set={"lock": "backup"})
    error = only_error(world.provision(only={"metrics-vm01"}))
    assert isinstance(error, Locked)
    assert "VM is locked (backup)" in str(error)
    world.simulated.control(op="edit-config", vmid=9000, set={}, delete=["lock"])
    assert_all_made(world.provision(only={"metrics-vm01"}))


@pytest.mark.parametrize("task", ["qmclone", "qmstart"])
def test_a_task_that_met_a_lock_is_begun_again(world: World, task: str) -> None:
    words = "can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout"
    world.simulated.fault(kind="task-fail", task=task, times=2, text=words)
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert sum(words in retry for retry in done.results[0].retries) == 2


def test_a_start_whose_worker_was_killed_is_begun_again(world: World) -> None:
    world.simulated.fault(kind="task-kill", task="qmstart", times=1)
    assert_all_made(world.provision(only={"metrics-vm01"}))
    assert read_tasks(world).count("qmstart") == 2


def test_a_lock_that_stays_fails_the_guest_in_time(world: World) -> None:
    words = "can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout"
    world.simulated.fault(kind="task-fail", task="qmstart", times=-1, text=words)
    error = only_error(world.provision(only={"metrics-vm01"}))
    assert isinstance(error, TaskFailed)
    assert "Wait until the other job on this VM has ended" in error.do
    assert read_tasks(world).count("qmstart") == STARTS


def test_a_warning_is_success_with_something_to_say(world: World) -> None:
    world.simulated.fault(kind="task-warn", task="qmclone", times=1, text="the pool's metadata is nearly full")
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert done.results[0].warnings == ["WARN: the pool's metadata is nearly full"]


def test_what_was_asked_twice_is_in_the_runs_report(world: World) -> None:
    world.simulated.fault(method="GET", path="/status/current$", times=1, kind="596")
    world.simulated.fault(
        method="POST", path="/clone$", times=1, kind="status", status=595, reason="Connection refused"
    )
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert any("/status/current: PVE's proxy lost the answer (596 Broken pipe)" in retry for retry in done.retries)
    assert any("POST /nodes/hv01/qemu/9000/clone" in retry and "595" in retry for retry in done.retries)


def test_a_held_lock_is_waited_out(world: World) -> None:
    """A real one: another process has the configuration for longer than PVE waits."""
    world.provision(only={"metrics-vm01"})
    notes = world.config(130)["description"].rstrip()
    world.simulated.control(op="edit-config", vmid=130, set={"description": f"{notes}\nmgmt-harness: unfinished"})

    def hold(event: Event) -> None:
        if (event.step, event.state) == ("finish", "begin"):
            world.simulated.control(op="hold-lock", vmid=130, seconds=1.8)

    done = world.provision(report=hold, only={"metrics-vm01"})
    assert_all_made(done)
    words = "can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout"
    assert any(words in retry for retry in done.results[0].retries)
