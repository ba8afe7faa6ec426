"""PVE's tasks take as long as on a recorded node where that is asked for, and can be ended meanwhile as any."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from harness.lab import Work
from harness.lab.pve.durations import INSTANT, RECORDED_S, WORK
from harness.lab.pve.faults import Faults
from harness.lab.pve.state import State
from harness.lab.pve.tasks import Interrupted, Tasks, Worker
from tests.lab.pve.served import NODE, Node

VM = f"{NODE}/qemu"
CONTENT = f"{NODE}/storage/local/content"
AGES = 3600.0  # a pace at which nothing ends by itself


def test_every_kind_that_was_recorded_takes_at_least_as_long(scripted_node: Node) -> None:
    node = scripted_node
    node.control(op="work", work="recorded")
    clone = f"{VM}/130"
    ended = [
        node.run("POST", f"{VM}/9000/clone", {"newid": 130, "pool": "mgmt"}),
        node.run("POST", f"{clone}/status/start"),
        node.run("POST", f"{NODE}/vzdump", {"vmid": "130,200", "storage": "local"}),
        node.run("POST", f"{clone}/status/stop"),
        node.run("PUT", f"{clone}/resize", {"disk": "scsi0", "size": "+1G"}),
        node.run("DELETE", clone),
        node.run("POST", VM, {"vmid": 131, "scsi0": "local-lvm:1"}),
        node.run("POST", f"{VM}/131/template"),
    ]
    volid = node.read(CONTENT, {"content": "backup", "vmid": 200})[0]["volid"]
    ended.append(node.run("POST", VM, {"vmid": 132, "archive": volid}))
    sent = node.upload(f"{NODE}/storage/local/upload", {"content": "iso", "filename": ("small.iso", b"small")})
    ended += [node.ended(sent.data), node.run("DELETE", f"{CONTENT}/{volid}")]
    assert set(ended) == {"OK"}
    took = {one["type"]: one["ended"] - one["began"] for one in node.control(op="tasks")}
    assert took.keys() == RECORDED_S.keys()
    vms = {"vzdump": 2}
    short = {kind for kind, least_s in RECORDED_S.items() if took[kind] < least_s * vms.get(kind, 1) * node.pace}
    assert not short


def test_it_holds_until_it_is_taken_back(node: Node) -> None:
    """Over the end of the process, and over a state that is put back."""
    node.control(op="snapshot", name="before")
    node.control(op="work", work="recorded")
    node.stop(signal.SIGKILL)
    node.start()
    assert kept(node) == "recorded"
    node.control(op="restore", name="before")
    assert kept(node) == "recorded"
    node.control(op="work", work="instant")
    assert kept(node) == "instant"


def test_what_nobody_knows_is_refused_and_changes_nothing(node: Node) -> None:
    with pytest.raises(AssertionError, match="unknown work 'slow'; one of instant, recorded"):
        node.control(op="work", work="slow")
    assert kept(node) == "instant"


def test_lab_and_simulator_mean_the_same() -> None:
    assert tuple(WORK) == get_args(Work)
    assert not WORK[INSTANT]


def kept(node: Node) -> str:
    return str(State(node.folder / "state").data.get("work", "instant"))


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    return Tasks(State(tmp_path), Faults(), "hv01", AGES)


def begun(tasks: Tasks, kind: str = "qmclone") -> tuple[str, threading.Event]:
    """A task that has done all its work, and what tells when."""
    done = threading.Event()

    def work(worker: Worker) -> None:
        with worker.taking_its_time():
            done.set()

    return tasks.start(kind, "130", "root@pam", work), done


@pytest.mark.parametrize("end", [Tasks.stop, Tasks.kill])
def test_a_task_that_takes_its_time_ends_when_it_is_told_to(tasks: Tasks, end: Callable[[Tasks, str], None]) -> None:
    tasks.take_work("recorded")
    upid, done = begun(tasks)
    assert done.wait(10)
    assert "endtime" not in tasks.find(upid)
    end(tasks, upid)
    assert tasks.wait(upid, 10)
    assert tasks.find(upid)["status"] == "unexpected status"


@pytest.mark.parametrize(("work", "kind"), [("instant", "qmclone"), ("recorded", "qmshutdown")])
def test_what_is_instant_or_was_not_recorded_waits_for_nothing(tasks: Tasks, work: str, kind: str) -> None:
    """At a pace at which any waiting would last for hours."""
    tasks.take_work(work)
    upid, _ = begun(tasks, kind)
    assert tasks.wait(upid, 10)
    assert tasks.find(upid)["status"] == "OK"


def test_a_failure_comes_at_once(tasks: Tasks) -> None:
    tasks.take_work("recorded")

    def work(worker: Worker) -> None:
        with worker.taking_its_time():
            raise Interrupted

    upid = tasks.start("qmclone", "130", "root@pam", work)
    assert tasks.wait(upid, 10)


def test_work_itself_counts() -> None:
    """Only the rest is waited for: whoever asks to stop meanwhile is not even noticed when there is none."""
    record: dict[str, Any] = {"type": "qmclone", "log": []}
    worker = Worker(record, 1e-9, RECORDED_S)
    worker.stop_asked.set()
    with worker.taking_its_time():
        record["log"].append("done")
    assert record["log"] == ["done"]
