"""First backups begin with the first VM that is done; each VM has one in the end, and a failure is its own alone."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.contract import BackupJob
from harness.engine import first_backups
from harness.engine.events import Event, Provisioned
from harness.wait import wait_until
from tests.engine.world import LOGS, World, assert_all_made

JOB = BackupJob("nightly", "local", "02:00", {"last": 3})


@pytest.fixture(autouse=True)
def _wanted(world: World) -> None:
    world.contract = replace(world.contract, hypervisor=replace(world.contract.hypervisor, backup=JOB))


def saved(world: World) -> list[int]:
    """The VMs of all archives."""
    entries = world.simulated.root().get("/nodes/hv01/storage/local/content", {"content": "backup"})
    return sorted(entry["vmid"] for entry in entries)


def asked_to_save(world: World) -> list[str]:
    """The VMs of all backup tasks that were sent."""
    writes = [write for write in world.simulated.control(op="writes") if write["path"].endswith("/vzdump")]
    return sorted(vmid for write in writes for vmid in write["params"]["vmid"].split(","))


def when(world: World, step: str, state: str, then: Callable[[str], None]) -> None:
    """Call `then` with the guest's name at each such moment of the run."""

    class Watched(list[Event]):
        def append(self, event: Event) -> None:
            super().append(event)
            if event.guest is not None and (event.step, event.state) == (step, state):
                then(event.guest)

    world.events = Watched()


def outcomes(done: Provisioned) -> dict[str, str]:
    return {result.guest: result.outcome for result in done.results}


def test_each_has_one_in_the_end(world: World) -> None:
    done = world.provision(saves=True)
    assert_all_made(done)
    assert set(outcomes(done).values()) == {"created"}
    assert all("backup" in result.seconds for result in done.results)
    assert saved(world) == [130, 131, 132]
    assert asked_to_save(world) == ["130", "131", "132"]


def test_who_is_done_is_saved_while_others_are_still_made(world: World) -> None:
    """This one is only heard when another has been saved."""
    world.wire.deaf = (LOGS.name,)

    def hear(_: str) -> None:
        world.wire.deaf = ()

    when(world, "backup", "done", hear)
    assert_all_made(world.provision(saves=True))
    assert asked_to_save(world) == ["130", "131", "132"]


def test_who_cannot_be_made_keeps_nobody_from_being_saved(world: World) -> None:
    world.wire.deaf = (LOGS.name,)
    world.contract = replace(world.contract, guest_deadline_s=3.0)
    done = world.provision(saves=True)
    assert outcomes(done) == {"metrics-vm01": "created", "logs-vm01": "failed", "alerting-vm01": "created"}
    assert saved(world) == [130, 132]


def test_who_was_there_before_is_saved_after_the_others_and_not_after_a_failure(world: World) -> None:
    world.provision(only={"metrics-vm01"})
    world.wire.deaf = (LOGS.name,)
    deadline_s = world.contract.guest_deadline_s
    world.contract = replace(world.contract, guest_deadline_s=3.0)
    assert outcomes(world.provision(saves=True))["logs-vm01"] == "failed"
    assert saved(world) == [132]
    world.wire.deaf = ()
    world.contract = replace(world.contract, guest_deadline_s=deadline_s)
    assert_all_made(world.provision(saves=True))
    assert saved(world) == [130, 131, 132]


def test_a_backup_that_fails_is_its_vms_failure_and_is_not_tried_again(world: World) -> None:
    world.simulated.fault(kind="task-fail", task="vzdump", times=9, text="no space left on device")
    done = world.provision(saves=True)
    assert set(outcomes(done).values()) == {"failed"}
    assert all("no space left on device" in str(result.error) for result in done.results)
    assert asked_to_save(world) == ["130", "131", "132"]


def test_without_backups_nobody_is_saved(world: World) -> None:
    assert_all_made(world.provision())
    assert saved(world) == []


def test_a_mistake_of_ours_is_no_saved_vm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("vmid")

    monkeypatch.setattr(first_backups, "require_storage", broken)
    done = world.provision(saves=True)
    assert set(outcomes(done).values()) == {"failed"}
    assert all("the tool itself failed: KeyError: 'vmid'" in str(result.error) for result in done.results)


def test_ctrl_c_ends_the_saving_too(world: World) -> None:
    world.simulated.fault(kind="task-stall", task="vzdump", seconds=30.0)
    pressed = threading.Event()

    def press_once(_: str) -> None:
        if not pressed.is_set():
            pressed.set()
            _thread.interrupt_main()

    when(world, "backup", "begin", press_once)
    with pytest.raises(KeyboardInterrupt):
        world.provision(saves=True)

    def look() -> tuple[bool | None, str]:
        # Not by join(): where Ctrl-C interrupts that, Python 3.11 takes the thread for ended.
        names = [thread.name for thread in threading.enumerate()]
        return (None if "saver" in names else True), ", ".join(names)

    waited = wait_until(look, deadline_s=10.0)
    assert waited.value, waited.last_seen
