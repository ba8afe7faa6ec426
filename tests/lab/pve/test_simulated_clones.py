"""A clone gets MACs of its own, is anonymous while it is made, and nothing of it is left when it fails."""

from __future__ import annotations

import re
import signal
import threading

import pytest

from harness.wait import wait_until
from tests.lab.pve.served import NODE, Node

CLONE = f"{NODE}/qemu/9000/clone"
TARGET = f"{NODE}/qemu/130"
HALF_MADE = {"lock": "clone", "description": " qmclone temporary file"}


def _slow_clone(node: Node, seconds: float = 60) -> str:
    """A clone that is under way when this returns; the time is PVE's, scaled by the node's pace."""
    node.control(op="fault", kind="task-stall", task="qmclone", times=1, seconds=seconds)
    upid = str(node.ask("POST", CLONE, {"newid": 130, "name": "slow", "full": 1}).data)
    waited = wait_until(lambda: (node.ask("GET", f"{TARGET}/config").status == 200 or None, ""), deadline_s=5)
    assert waited.value
    return upid


def test_a_clone_has_a_random_mac_and_the_templates_words(node: Node) -> None:
    source = node.read(f"{NODE}/qemu/9000/config")
    assert node.run("POST", CLONE, {"newid": 130, "name": "c130", "pool": "mgmt"}) == "OK"
    config = node.read(f"{TARGET}/config")
    assert re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0", config["net0"])
    assert config["net0"] != source["net0"]
    assert config["smbios1"] != source["smbios1"]
    assert config["vmgenid"] != source["vmgenid"]
    assert (config["description"], config["name"], "template" in config) == ("build: lab-image-1", "c130", False)
    assert [item["vmid"] for item in node.read("/pools/mgmt")["members"]] == [130, 9000]


def test_the_upid_names_the_template_not_the_clone(node: Node) -> None:
    upid = node.ask("POST", CLONE, {"newid": 130}).data
    assert re.fullmatch(r"UPID:hv01:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:qmclone:9000:root@pam:", upid)
    node.ended(upid)
    assert node.read(f"{TARGET}/config")["name"] == "Copy-of-VM-debian"
    assert [task["upid"] for task in node.read(f"{NODE}/tasks", {"vmid": 9000})] == [upid]
    assert node.read(f"{NODE}/tasks", {"vmid": 130}) == []


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({"newid": 200}, "unable to create VM 200: config file already exists"),
        ({"newid": 130, "storage": "local"}, "parameter 'storage' not allowed for linked clones"),
        ({"newid": 130, "full": 1, "storage": "no"}, "storage 'no' does not exist"),
        ({"newid": 130, "pool": "no"}, "Permission check failed (pool 'no' does not exist)"),
        ({"newid": 130, "target": "hv02"}, "no such cluster node 'hv02'"),
    ],
)
def test_refuses_before_the_task_starts(node: Node, sent: dict[str, object], reason: str) -> None:
    assert node.ask("POST", CLONE, sent).reason == reason
    assert node.ask("GET", f"{TARGET}/config").status == 500


def test_a_clone_under_way_is_locked_and_has_no_name(node: Node) -> None:
    upid = _slow_clone(node)
    config = node.read(f"{TARGET}/config")
    config.pop("digest")
    assert config == HALF_MADE
    assert node.read(f"{TARGET}/status/current")["name"] == "VM 130"
    assert node.read(f"{NODE}/tasks", {"source": "active"})[0]["upid"] == upid
    assert node.ask("POST", f"{TARGET}/clone", {"newid": 131}).reason == "VM is locked (clone)"
    assert node.ask("GET", "/cluster/nextid", {"vmid": 130}).body["errors"] == {"vmid": "VM 130 already exists"}


def test_writers_wait_ten_seconds_for_the_file_lock_and_give_up(node: Node) -> None:
    _slow_clone(node)
    for vmid in (130, 9000):
        reply = node.ask("PUT", f"{NODE}/qemu/{vmid}/config", {"description": "x"})
        reason = f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"
        assert (reply.status, reply.reason) == (500, reason)
    status = node.ended(node.ask("POST", f"{TARGET}/status/start").data)
    assert status == "can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout"


def test_several_clones_of_one_template_go_on_at_once(node: Node) -> None:
    slow = _slow_clone(node)
    assert node.run("POST", CLONE, {"newid": 131, "name": "quick"}) == "OK"
    assert node.read(f"{NODE}/tasks/{slow}/status")["status"] == "running"


def test_a_stopped_clone_leaves_nothing(node: Node) -> None:
    upid = _slow_clone(node)
    assert node.ask("DELETE", f"{NODE}/tasks/{upid}").status == 200
    assert node.ended(upid).startswith("clone failed: ")
    assert node.ask("GET", f"{TARGET}/config").status == 500
    assert [item for item in node.read(f"{NODE}/storage/local-lvm/content") if item["vmid"] == 130] == []


def test_a_killed_worker_leaves_a_half_made_clone(node: Node) -> None:
    upid = _slow_clone(node)
    node.control(op="kill-task", upid=upid)
    assert node.ended(upid) == "unexpected status"
    assert node.run("POST", f"{TARGET}/status/start") == "VM is locked (clone)"
    assert node.run("DELETE", TARGET) == "VM is locked (clone)"
    assert node.run("DELETE", TARGET, {"skiplock": 1}) == "OK"
    assert node.ask("GET", f"{TARGET}/config").status == 500


def test_a_power_cut_during_a_clone_shows_after_the_restart(node: Node) -> None:
    upid = _slow_clone(node)
    node.stop(signal.SIGKILL)
    node.start()
    assert node.read(f"{NODE}/tasks/{upid}/status")["exitstatus"] == "unexpected status"
    config = node.read(f"{TARGET}/config")
    assert {key: config[key] for key in HALF_MADE} == HALF_MADE
    assert node.run("POST", CLONE, {"newid": 131}) == "OK"


def test_guests_run_on_while_the_simulator_restarts(node: Node) -> None:
    assert node.run("POST", f"{NODE}/qemu/200/status/start") == "OK"
    node.stop()
    node.start()
    assert node.read(f"{NODE}/qemu/200/status/current")["status"] == "running"


@pytest.mark.parametrize("full", [0, 1])
def test_a_full_thin_pool_fails_the_task_and_leaves_nothing(node: Node, full: int) -> None:
    node.control(op="fill-storage", storage="local-lvm", available_bytes=0)
    status = node.run("POST", CLONE, {"newid": 130, "full": full})
    assert status.startswith("clone failed: lvcreate 'pve/vm-130-disk-0' error:")
    assert "free space in thin pool pve/data reached threshold" in status
    assert node.ask("GET", f"{TARGET}/config").status == 500
    node.control(op="fill-storage", storage="local-lvm", available_bytes=None)
    assert node.run("POST", CLONE, {"newid": 130, "full": full}) == "OK"


def test_one_vmid_is_made_once_however_many_ask(node: Node) -> None:
    replies = []
    threads = [
        threading.Thread(target=lambda: replies.append(node.ask("POST", CLONE, {"newid": 130, "full": 1})))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends = [node.ended(reply.data) if reply.status == 200 else reply.reason for reply in replies]
    assert sorted(ends)[0] == "OK"
    assert set(ends) - {"OK"} <= {
        "unable to create VM 130: config file already exists",
        "clone failed: unable to create VM 130: config file already exists",
    }


def test_destroying_is_refused_while_protected_or_running_and_forgets_the_rest(node: Node) -> None:
    assert node.run("POST", CLONE, {"newid": 130, "pool": "mgmt"}) == "OK"
    node.ask("PUT", "/access/acl", {"path": "/vms/130", "roles": "Audit", "users": "maker@pve"})
    node.ask("PUT", f"{TARGET}/config", {"protection": 1})
    assert node.ask("DELETE", TARGET).reason == "can't remove VM 130 - protection mode enabled"
    node.ask("PUT", f"{TARGET}/config", {"protection": 0})
    node.run("POST", f"{TARGET}/status/start")
    assert node.ask("DELETE", TARGET).reason == "VM 130 is running - destroy failed"
    node.run("POST", f"{TARGET}/status/stop")
    assert node.run("DELETE", TARGET) == "OK"
    assert "/vms/130" not in [entry["path"] for entry in node.read("/access/acl")]
    assert [item["vmid"] for item in node.read("/pools/mgmt")["members"]] == [9000]
