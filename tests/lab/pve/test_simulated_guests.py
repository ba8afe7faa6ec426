"""Power, agent and hotplug: a task's end is not its beginning, and a guest needs its time."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from harness.lab.pve import vm_status
from harness.wait import wait_until
from tests.lab.pve.served import NODE, Node

VM = f"{NODE}/qemu/130"
NOTE = "/tmp/note"  # noqa: S108 - in the guest


@pytest.fixture
def up(scripted_node: Node) -> Node:
    """VM 130 runs and its agent answers."""
    node = scripted_node
    assert node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130, "name": "g130"}) == "OK"
    assert node.run("POST", f"{VM}/status/start") == "OK"
    waited = wait_until(lambda: (node.ask("POST", f"{VM}/agent/ping").status == 200 or None, ""), deadline_s=10)
    assert waited.value
    return node


def test_an_unknown_bridge_is_accepted_and_fails_the_start(node: Node) -> None:
    net = "virtio=02:de:20:01:01:01,bridge=vmbr7"
    assert node.ask("PUT", f"{NODE}/qemu/200/config", {"net0": net}).status == 200
    upid = node.ask("POST", f"{NODE}/qemu/200/status/start").data
    assert node.ended(upid) == "start failed: QEMU exited with code 1"
    lines = [line["t"] for line in node.read(f"{NODE}/tasks/{upid}/log")]
    assert lines[0] == "bridge 'vmbr7' does not exist"
    assert lines[-1] == "TASK ERROR: start failed: QEMU exited with code 1"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("9000/status/start", "you can't start a vm if it's a template"),
        ("999/status/start", "Configuration file 'nodes/hv01/qemu-server/999.conf' does not exist"),
        ("999/status/stop", "unable to find configuration file for VM 999 on node 'hv01'"),
        ("200/status/stop", "OK"),
        ("200/status/shutdown", "OK"),
    ],
)
def test_answers_200_and_says_in_the_task_how_it_went(node: Node, path: str, status: str) -> None:
    assert node.run("POST", f"{NODE}/qemu/{path}") == status


def test_what_needs_a_running_vm_refuses_at_once(node: Node) -> None:
    for action in ("reboot", "reset"):
        assert node.ask("POST", f"{NODE}/qemu/200/status/{action}").reason == "VM 200 not running"
    assert node.ask("POST", f"{NODE}/qemu/200/agent/ping").reason == "VM 200 is not running"
    node.ask("PUT", f"{NODE}/qemu/200/config", {"delete": "agent"})
    assert node.ask("POST", f"{NODE}/qemu/200/agent/ping").reason == "No QEMU guest agent configured"


def test_without_a_process_nobody_answers_as_the_agent(node: Node) -> None:
    node.run("POST", f"{NODE}/qemu/200/status/start")
    reply = node.ask("GET", f"{NODE}/qemu/200/agent/network-get-interfaces")
    assert (reply.status, reply.reason) == (500, "QEMU guest agent is not running")


def test_a_warning_is_a_success_with_something_to_say(node: Node) -> None:
    node.ask("PUT", f"{NODE}/qemu/200/config", {"bios": "ovmf"})
    assert node.run("POST", f"{NODE}/qemu/200/status/start") == "WARNINGS: 1"
    assert [task["status"] for task in node.read(f"{NODE}/tasks", {"errors": 1})] == ["WARNINGS: 1"]


def test_the_agents_answers_come_as_results(up: Node) -> None:
    mac = up.read(f"{VM}/config")["net0"].partition(",")[0].partition("=")[2].lower()
    cards = up.read(f"{VM}/agent/network-get-interfaces")["result"]
    assert mac in [card["hardware-address"] for card in cards]
    assert up.read(f"{VM}/agent/get-host-name") == {"result": {"host-name": "scripted"}}


def test_the_agent_runs_programs_and_keeps_files(up: Node) -> None:
    pid = up.ask("POST", f"{VM}/agent/exec", {"command": ["sh", "-c", "echo out; echo err >&2; exit 3"]}).data["pid"]
    done = wait_until(lambda: (_exited(up, pid), ""), deadline_s=5, first_pause_s=0.02).value
    assert done is not None
    assert (done["exitcode"], done["out-data"], done["err-data"]) == (3, "out\n", "err\n")
    assert up.ask("GET", f"{VM}/agent/exec-status", {"pid": pid}).reason == "Agent error: Invalid parameter 'pid'"
    assert up.ask("POST", f"{VM}/agent/file-write", {"file": NOTE, "content": "one\n"}).status == 200
    assert up.read(f"{VM}/agent/file-read", {"file": NOTE}) == {"content": "one\n", "bytes-read": 4}
    missing = up.ask("GET", f"{VM}/agent/file-read", {"file": "/no/such"})
    assert missing.reason == "Agent error: failed to open file '/no/such' (mode: 'r'): No such file or directory"


def _exited(node: Node, pid: int) -> dict[str, object] | None:
    status: dict[str, object] = node.read(f"{VM}/agent/exec-status", {"pid": pid})
    return status if status["exited"] else None


def test_a_mac_waits_for_the_next_start_unless_nics_are_hotplugged(up: Node) -> None:
    other = "virtio=02:de:20:01:01:05,bridge=vmbr0"
    up.ask("PUT", f"{VM}/config", {"hotplug": "disk,usb"})
    assert up.ask("PUT", f"{VM}/config", {"net0": other}).status == 200
    assert up.read(f"{VM}/config")["net0"] == other
    assert up.read(f"{VM}/config", {"current": 1})["net0"] != other
    assert {"key": "net0", "pending": other}.items() <= next(
        item for item in up.read(f"{VM}/pending") if item["key"] == "net0"
    ).items()
    up.ask("PUT", f"{VM}/config", {"hotplug": "network,disk,usb"})
    assert up.read(f"{VM}/config", {"current": 1})["net0"] == other
    assert "02:de:20:01:01:05" in str(up.read(f"{VM}/agent/network-get-interfaces"))


def test_memory_waits_and_a_revert_forgets_it(up: Node) -> None:
    up.ask("PUT", f"{VM}/config", {"memory": 512, "description": "at once"})
    current = up.read(f"{VM}/config", {"current": 1})
    assert (current["memory"], current["description"]) == ("256", "at once")
    up.ask("PUT", f"{VM}/config", {"revert": "memory"})
    assert up.read(f"{VM}/config")["memory"] == "256"


def test_a_reboot_applies_what_waits(up: Node) -> None:
    up.ask("PUT", f"{VM}/config", {"memory": 512})
    assert up.run("POST", f"{VM}/status/reboot") == "OK"
    assert up.read(f"{VM}/config", {"current": 1})["memory"] == "512"


def test_a_deaf_guest_does_not_shut_down_but_can_be_cut_off(scripted_node: Node) -> None:
    deaf = f"{NODE}/qemu/200"
    assert scripted_node.run("POST", f"{deaf}/status/start") == "OK"
    status = scripted_node.run("POST", f"{deaf}/status/shutdown", {"timeout": 2})
    assert status == "VM quit/powerdown failed - got timeout"
    assert scripted_node.run("POST", f"{deaf}/status/shutdown", {"timeout": 2, "forceStop": 1}) == "OK"
    assert scripted_node.read(f"{deaf}/status/current")["status"] == "stopped"


def test_a_guest_that_ends_while_it_is_looked_at_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    monkeypatch.setattr(vm_status, "resident_bytes", lambda _: 4096)  # a moment ago
    assert vm_status.guest_memory(ended.pid, 1 << 30) == {}


def test_a_port_that_goes_away_while_it_is_read_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object, **__: object) -> str:
        raise OSError(errno.EINVAL, "Invalid argument")  # the kernel's answer for a device that is being removed

    monkeypatch.setattr(Path, "is_file", lambda _: True)
    monkeypatch.setattr(Path, "read_text", read)
    assert vm_status.nic_counters(130, {"net0": "virtio"}) == {"tap130i0": {"netin": 0, "netout": 0}}
