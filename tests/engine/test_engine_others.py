"""Somebody else works on the same hypervisor: refused by name, or left as they made it; never overwritten."""

from __future__ import annotations

import getpass
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.engine.events import Event
from harness.errors import Unreachable, Unsafe
from harness.locking import run_lock, site_lock
from tests.engine.world import World, assert_all_made, assert_refused, only_error, read_tasks, seed
from tests.simulators import ROOT


def edit_at(world: World, step: str, **change: Any) -> Any:
    """A report that changes the VM behind the run's back when that step begins."""

    def report(event: Event) -> None:
        if (event.step, event.state) == (step, "begin"):
            world.simulated.control(op="edit-config", vmid=130, **change)

    return report


def test_the_second_operator_is_told_who_and_since_when(world: World) -> None:
    with site_lock(world.contract.state_dir, "lab"):
        me = re.escape(f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}, since 20")
        assert_refused(world, Unsafe, rf"another run is at work \({me}")
    assert_all_made(world.provision())


def test_a_second_process_is_refused_while_the_first_works(world: World) -> None:
    """The first one waits for a guest whose sshd is deaf; the second one's refusal names it."""
    argv = [sys.executable, "-m", "tests.engine.run", str(world.simulated.folder), world.simulated.url]
    argv += [world.simulated.fingerprint]
    world.simulated.fault(kind="task-stall", task="qmclone", times=3, seconds=60)
    first = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert first.stdout is not None
        assert any("clone begin" in line for line in first.stdout)
        with pytest.raises(Unsafe, match=rf"another run is at work \(.*process {first.pid}, since 20"):
            world.provision()
    finally:
        first.kill()
        first.communicate()


def test_an_operator_at_another_machine_is_told_who_and_since_when(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another state folder, so that only the hypervisor's own lock is common; it is free as soon as the first ends."""
    monkeypatch.setattr("harness.locking.NODE_LOCK", str(tmp_path / "node lock"))
    world.wire.holds = True
    elsewhere = replace(world.contract, state_dir=tmp_path / "elsewhere")
    with run_lock(elsewhere, world.wire.looks().hold, pytest.fail):
        me = re.escape(f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}, since 20")
        error = assert_refused(world, Unsafe, rf"on lab \(hv01\): another run is at work \({me}")
        assert f"fuser -k {tmp_path / 'node lock'}" in error.do
    assert_all_made(world.provision())


def test_a_killed_run_elsewhere_leaves_no_lock(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.locking.NODE_LOCK", str(tmp_path / "node.lock"))
    world.wire.holds = True
    elsewhere = replace(world.contract, state_dir=tmp_path / "elsewhere")
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with run_lock(elsewhere, world.wire.looks().hold, pytest.fail):
            os.write(writing, b"x")
            signal.pause()
    os.read(reading, 1)
    assert_refused(world, Unsafe, rf"another run is at work \(.*process {child}, since 20")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert_all_made(world.provision())


def test_without_ssh_to_the_node_the_run_says_what_it_cannot_notice(world: World) -> None:
    def nobody(command: str) -> AbstractContextManager[str]:
        raise Unreachable(tried="log in by SSH", on="hv01", happened="no route to host", do="look there")

    assert_all_made(world.provision(looks=replace(world.wire.looks(), hold=nobody)))
    (note,) = [event.text for event in world.events if event.guest is None]
    assert note.startswith("a run from another machine at the same time would not be noticed: Could not log in by SSH")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"set": {"memory": "2048"}}, "memory from '512' to '2048'"),
        ({"set": {"net0": "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1"}}, "net0 from 'virtio="),
        ({"set": {"tags": "mine"}}, "tags from None to 'mine'"),
    ],
    ids=["memory", "net0", "tags"],
)
def test_a_change_made_meanwhile_is_never_overwritten(world: World, change: dict[str, Any], words: str) -> None:
    done = world.provision(report=edit_at(world, "configure", **change), only={"metrics-vm01"})
    assert f"somebody else changed it meanwhile ({words}" in str(only_error(done))
    assert {key: world.config(130)[key] for key in change["set"]} == change["set"]
    assert "qmstart" not in read_tasks(world)


def test_what_does_not_meet_the_declared_values_stays_and_does_not_matter(world: World) -> None:
    report = edit_at(world, "configure", set={"ostype": "other", "description": "mgmt-harness: unfinished"})
    done = world.provision(report=report, only={"metrics-vm01"})
    assert_all_made(done)
    assert "checksum mismatch" in done.results[0].retries[0]
    assert world.config(130)["ostype"] == "other"


def test_a_note_written_meanwhile_is_kept(world: World) -> None:
    world.provision(only={"metrics-vm01"})
    notes = world.config(130)["description"].rstrip()
    world.simulated.control(op="edit-config", vmid=130, set={"description": f"{notes}\nmgmt-harness: unfinished"})
    mine = f"{notes}\nmgmt-harness: unfinished\nowner: alice"
    assert_all_made(world.provision(report=edit_at(world, "reach", set={"description": mine}), only={"metrics-vm01"}))
    assert world.config(130)["description"].rstrip() == f"{notes}\nowner: alice"
    assert world.plan_is_empty("metrics-vm01")


@pytest.mark.parametrize(
    "notes", ["mine, alice", "mgmt-harness: site=dvntm guest=logs-vm01 template=t build=b mode=full"]
)
@pytest.mark.parametrize("name", ["metrics-vm01", "win11"])
def test_a_vm_made_under_our_number_meanwhile_is_not_adopted(world: World, name: str, notes: str) -> None:
    """Its name may even be the guest's: what counts is the mark, and it has none."""
    theirs = {"name": name, "memory": "512", "description": notes}

    def report(event: Event) -> None:
        if (event.step, event.state) == ("clone", "begin"):
            seed(world, vms=[{"vmid": 130, "config": theirs}], pools=[{"poolid": "mgmt", "vms": [130, 9000]}])

    error = only_error(world.provision(report=report, only={"metrics-vm01"}))
    assert isinstance(error, Unsafe)
    assert "carries no mark of ours" in str(error)
    config = world.config(130)
    assert {key: str(config[key]).rstrip() for key in theirs} == theirs
    assert config["status"] == "stopped"
    assert_refused(world, Unsafe, "the VMID 130 declared for metrics-vm01 is taken by", only={"metrics-vm01"})
