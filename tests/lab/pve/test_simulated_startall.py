"""All guests of the node start in their order, with their delays, and stop in the reverse one."""

from __future__ import annotations

import pytest

from tests.lab.pve.served import NODE, Node

ORDER = {201: "order=30", 202: "order=10,up=5", 203: ""}


@pytest.fixture
def ordered(node: Node) -> Node:
    """Three VMs of their own places, which all start with the node, and one (200) that does not."""
    for vmid, startup in ORDER.items():
        assert node.run("POST", f"{NODE}/qemu", {"vmid": vmid, "onboot": 1}) == "OK"
        if startup:
            assert node.ask("PUT", f"{NODE}/qemu/{vmid}/config", {"startup": startup}).status == 200
    return node


def running(node: Node) -> set[int]:
    return {vm["vmid"] for vm in node.read(f"{NODE}/qemu") if vm["status"] == "running"}


def begun(node: Node, kind: str) -> list[str]:
    """The VMs of the tasks of a kind, the first one first."""
    tasks = node.read(f"{NODE}/tasks", {"typefilter": kind})
    return [task["id"] for task in sorted(tasks, key=lambda task: task["upid"].split(":")[2])]


def test_those_that_start_with_the_node_start_in_their_order(ordered: Node) -> None:
    upid = ordered.ask("POST", f"{NODE}/startall").data
    assert ordered.ended(upid) == "OK"
    assert running(ordered) == {201, 202, 203}
    assert begun(ordered, "qmstart") == ["202", "201", "203"]
    lines = [line["t"] for line in ordered.read(f"{NODE}/tasks/{upid}/log")]
    assert lines[:2] == ["Starting VM 202", "Waiting for 5 seconds (startup delay)"]


def test_force_starts_the_named_ones_whether_they_start_with_the_node_or_not(ordered: Node) -> None:
    assert ordered.run("POST", f"{NODE}/startall", {"vms": "200,201", "force": 1}) == "OK"
    assert running(ordered) == {200, 201}


def test_one_that_does_not_start_keeps_no_other_from_it(ordered: Node) -> None:
    ordered.ask("PUT", f"{NODE}/qemu/202/config", {"net0": "virtio=02:de:20:01:01:01,bridge=vmbr7"})
    upid = ordered.ask("POST", f"{NODE}/startall").data
    assert ordered.ended(upid) == "OK"
    assert running(ordered) == {201, 203}
    lines = [line["t"] for line in ordered.read(f"{NODE}/tasks/{upid}/log")]
    assert "Starting VM 202 failed: start failed: QEMU exited with code 1" in lines


def test_they_stop_in_the_reverse_order(ordered: Node) -> None:
    ordered.run("POST", f"{NODE}/startall")
    assert ordered.run("POST", f"{NODE}/stopall", {"timeout": 20}) == "OK"
    assert running(ordered) == set()
    assert begun(ordered, "qmshutdown") == ["203", "201", "202"]


def test_whoever_may_not_switch_a_vm_may_not_name_it_here(ordered: Node) -> None:
    for params in ({}, {"vms": "201"}):
        reply = ordered.ask("POST", f"{NODE}/startall", params, user="maker")
        assert reply.status == 403
    assert running(ordered) == set()
