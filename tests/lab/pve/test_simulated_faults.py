"""The simulator breaks what it is asked to break, at the moment it is asked for, and nothing else."""

from __future__ import annotations

import http.client
import ssl
import subprocess
import threading
import time
from typing import Any

import pytest

from harness.wait import wait_until
from tests.lab.pve.served import NODE, Node

CLONE = f"{NODE}/qemu/9000/clone"
NOTES = f"{NODE}/qemu/200/config"
LOST = (OSError, http.client.HTTPException)


def fault(node: Node, kind: str, **more: Any) -> None:
    node.control(op="fault", kind=kind, **more)


def notes(node: Node) -> str:
    return str(node.read(NOTES).get("description", ""))


def write(node: Node) -> None:
    node.ask("PUT", NOTES, {"description": "new"})


@pytest.mark.parametrize(
    ("kind", "lost", "done"),
    [
        ("drop-before", LOST, False),
        ("drop-after", LOST, True),
        ("reset-before", (ConnectionResetError, ssl.SSLError), False),
        ("reset-after", (ConnectionResetError, ssl.SSLError), True),
        ("cut", (http.client.IncompleteRead,), True),
    ],
)
def test_a_lost_answer_is_lost_before_or_after_the_work(
    node: Node, kind: str, lost: tuple[type[Exception], ...], done: bool
) -> None:
    node.control(op="reset-counters")
    fault(node, kind, method="PUT")
    with pytest.raises(lost):
        write(node)
    assert notes(node) == ("new" if done else "")
    assert [entry["done"] for entry in node.control(op="writes")] == ([True] if done else [])


@pytest.mark.parametrize(
    ("more", "status", "reason", "done"),
    [
        ({"kind": "596"}, 596, "Broken pipe", True),
        ({"kind": "596", "status": 599, "reason": "Too many redirections"}, 599, "Too many redirections", True),
        ({"kind": "596-before"}, 596, "Connection timed out", False),
        ({"kind": "status", "status": 595, "reason": "Connection refused"}, 595, "Connection refused", False),
        (
            {"kind": "lock"},
            500,
            "can't lock file '/var/lock/qemu-server/lock-200.conf' - got timeout",
            False,
        ),
    ],
)
def test_an_answer_that_says_less_than_was_done(
    node: Node, more: dict[str, Any], status: int, reason: str, done: bool
) -> None:
    node.control(op="fault", method="PUT", **more)
    reply = node.ask("PUT", NOTES, {"description": "new"})
    assert (reply.status, reply.reason) == (status, reason)
    assert notes(node) == ("new" if done else "")


def test_only_the_request_with_that_number_is_hit(node: Node) -> None:
    node.control(op="reset-counters")
    fault(node, "status", at=3, reason="the third")
    assert [node.ask("GET", "/version").status for _ in range(4)] == [200, 200, 500, 200]
    assert node.control(op="moments")["requests"] == 4


@pytest.mark.parametrize("moment", ["before", "after"])
def test_the_caller_is_killed_and_never_sees_the_answer(node: Node, moment: str) -> None:
    victim = subprocess.Popen(["sleep", "60"])
    fault(node, f"kill-{moment}", method="PUT", pid=victim.pid)
    with pytest.raises(LOST):
        write(node)
    assert victim.wait(1) == -9
    assert notes(node) == ("new" if moment == "after" else "")


def test_nobody_is_killed_without_a_number(node: Node) -> None:
    with pytest.raises(AssertionError, match="needs the pid of the process to kill"):
        fault(node, "kill-before", pid=1)


@pytest.mark.parametrize(("moment", "done"), [("before", False), ("after", True)])
def test_power_loss_at_a_call_keeps_what_was_saved(node: Node, moment: str, done: bool) -> None:
    fault(node, f"crash-{moment}", method="PUT")
    with pytest.raises(LOST):
        write(node)
    come_back(node)
    assert notes(node) == ("new" if done else "")


def test_power_loss_after_a_save_leaves_a_half_clone(node: Node) -> None:
    """The first save of a clone is its task, the second the configuration that is only a lock."""
    fault(node, "crash-saved", at=2)
    with pytest.raises(LOST):
        node.ended(node.ask("POST", CLONE, {"newid": 130, "pool": "mgmt"}).data)
    come_back(node)
    half = node.read(f"{NODE}/qemu/130/config")
    assert {key: half[key] for key in half if key != "digest"} == {
        "lock": "clone",
        "description": " qmclone temporary file",
    }
    (task,) = node.read(f"{NODE}/tasks", {"typefilter": "qmclone"})
    assert task["status"] == "unexpected status"


@pytest.mark.parametrize("kind", ["task-kill", "task-crash"])
def test_a_clone_that_dies_half_way_leaves_its_disk_too(node: Node, kind: str) -> None:
    fault(node, kind, task="qmclone")
    upid = node.ask("POST", CLONE, {"newid": 130, "full": 1}).data
    if kind == "task-crash":
        assert node.process is not None
        node.process.wait(10)
        come_back(node)
    assert node.ended(upid) == "unexpected status"
    assert node.read(f"{NODE}/qemu/130/config")["lock"] == "clone"
    volumes = [entry["volid"] for entry in node.read(f"{NODE}/storage/local-lvm/content")]
    assert "local-lvm:vm-130-disk-0" in volumes
    assert node.run("DELETE", f"{NODE}/qemu/130", {"skiplock": 1, "destroy-unreferenced-disks": 1}) == "OK"
    assert "local-lvm:vm-130-disk-0" not in [entry["volid"] for entry in node.read(f"{NODE}/storage/local-lvm/content")]


def come_back(node: Node) -> None:
    assert node.process is not None
    node.process.wait(10)
    node.stop()
    (node.folder / "state/port").unlink()
    node.start()
    node.login()


def test_a_warning_is_counted_in_the_tasks_end(node: Node) -> None:
    fault(node, "task-warn", task="qmstart", text="memory is short")
    upid = node.ask("POST", f"{NODE}/qemu/200/status/start").data
    assert node.ended(upid) == "WARNINGS: 1"
    lines = [line["t"] for line in node.read(f"{NODE}/tasks/{upid}/log")]
    assert lines == ["WARN: memory is short", "TASK WARNINGS: 1"]


def test_a_snapshot_is_put_back_as_often_as_wanted(node: Node) -> None:
    node.control(op="snapshot", name="start")
    for _ in range(2):
        assert node.run("POST", CLONE, {"newid": 130, "pool": "mgmt"}) == "OK"
        assert node.run("POST", f"{NODE}/qemu/200/status/start") == "OK"
        write(node)
        node.control(op="restore", name="start")
        assert sorted(entry["vmid"] for entry in node.read(f"{NODE}/qemu")) == [200, 9000]
        assert node.read(f"{NODE}/qemu/200/status/current")["status"] == "stopped"
        assert (notes(node), node.read(f"{NODE}/tasks")) == ("", [])


def test_a_snapshot_at_a_call_is_the_state_at_that_moment(node: Node) -> None:
    fault(node, "snapshot-before", method="PUT", text="before")
    fault(node, "snapshot-after", method="PUT", text="after")
    write(node)
    node.ask("PUT", NOTES, {"description": "newer"})
    for name, seen in (("before", ""), ("after", "newer")):
        node.control(op="restore", name=name)
        assert notes(node) == seen


def test_a_restore_ends_the_tasks_that_run(node: Node) -> None:
    node.control(op="snapshot", name="start")
    fault(node, "task-stall", task="qmclone", seconds=1000)
    node.ask("POST", CLONE, {"newid": 130})
    node.control(op="restore", name="start")
    assert node.read(f"{NODE}/tasks", {"source": "all"}) == []
    assert node.run("POST", CLONE, {"newid": 130}) == "OK"


def test_the_same_seed_breaks_the_same_calls(node: Node) -> None:
    def pattern(seed: int) -> list[int]:
        node.control(op="chaos", seed=seed, share=0.3, calls=[{"kind": "status", "status": 503}])
        return [node.ask("GET", "/version").status for _ in range(30)]

    first = pattern(1)
    assert pattern(1) == first
    assert pattern(2) != first
    assert 3 <= first.count(503) <= 18
    node.control(op="clear-faults")
    assert node.ask("GET", "/version").status == 200


def test_an_unknown_kind_is_refused_with_the_known_ones(node: Node) -> None:
    with pytest.raises(AssertionError, match="unknown kind 'explode'; one of status, lock, stall"):
        fault(node, "explode")


def test_writers_that_wait_for_a_lock_keep_the_workers_from_everybody(node: Node) -> None:
    """Three workers: with all of them waiting for one configuration, a read of something else waits, too."""
    node.control(op="hold-lock", vmid=200, seconds=1.0)
    writers = [threading.Thread(target=write, args=(node,)) for _ in range(3)]
    for writer in writers:
        writer.start()
    assert wait_until(lambda: (node.control(op="moments")["requests"] >= 3 or None, ""), deadline_s=5).value
    began = time.monotonic()
    assert node.ask("GET", "/version").status == 200
    waited = time.monotonic() - began
    for writer in writers:
        writer.join()
    assert waited > 0.2  # PVE's ten seconds, at this pace half of one


def test_another_truth_is_answered_until_it_is_taken_back(node: Node) -> None:
    """Merged into what PVE would say: a list is replaced, a key is added, changed or taken away."""
    resources, status = "/cluster/ha/resources", f"{NODE}/status"
    before = node.read(status)
    falsehoods: list[dict[str, Any]] = [
        {"path": f"^{resources}$", "patch": [{"sid": "vm:200"}]},
        {"path": f"^{status}$", "patch": {"cpuinfo": {"hvm": "", "mhz": None}}},
        {"path": f"^{status}$", "patch": {"uptime": 1}},
    ]
    for one in falsehoods:
        fault(node, "answer", **one)
    for _ in range(2):  # not used up
        assert node.read(resources) == [{"sid": "vm:200"}]
        told = node.read(status)
        assert (told["cpuinfo"]["hvm"], told["uptime"], "mhz" in told["cpuinfo"]) == ("", 1, False)
        assert told["cpuinfo"]["flags"] == before["cpuinfo"]["flags"]
    node.control(op="take-back", kind="answer", **falsehoods[1])
    assert (node.read(status)["cpuinfo"], node.read(status)["uptime"]) == (before["cpuinfo"], 1)
    node.control(op="clear-faults")
    assert node.read(resources) == []


def test_only_what_was_asked_for_can_be_taken_back(node: Node) -> None:
    fault(node, "answer", path="/version", patch={"version": "9.9.9"})
    with pytest.raises(AssertionError, match="not in list"):
        node.control(op="take-back", kind="answer", path="/version", patch={"version": "9.9.8"})
    assert node.read("/version")["version"] == "9.9.9"


def test_a_task_can_have_logged_something_else(node: Node) -> None:
    fault(node, "task-warn", task="qmstart", text="memory is short")
    upid = node.ask("POST", f"{NODE}/qemu/200/status/start").data
    node.ended(upid)
    said = "WARN: memory is short"
    node.control(op="edit-log", task="qmstart", after=said, pattern="short", new="plenty")
    assert node.read(f"{NODE}/tasks/{upid}/log")[0]["t"] == "WARN: memory is plenty"
    with pytest.raises(AssertionError, match="no task qmstart said 'WARN: memory is short'"):
        node.control(op="edit-log", task="qmstart", after=said, pattern="short", new="plenty")
    with pytest.raises(AssertionError, match="there is no 'short'"):
        node.control(op="edit-log", task="qmstart", after="WARN: memory is plenty", pattern="short", new="plenty")
