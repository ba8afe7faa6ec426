"""A guest without any backup gets one, and only such a guest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.contract import BackupJob, Contract
from harness.engine.events import GuestResult
from harness.engine.first_backups import first_backups, unsaved
from tests.engine.world import World, read_tasks
from tests.recovery.driving import archives, back_up, edit, tools

JOB = BackupJob("nightly", "local", "02:00", {"last": 3})


def declared(world: World) -> Contract:
    return replace(world.contract, hypervisor=replace(world.contract.hypervisor, backup=JOB))


def give(world: World, *names: str) -> tuple[GuestResult, ...]:
    return first_backups(declared(world), names=frozenset(names) or None, **tools(world))


def test_each_guest_gets_one_and_then_none(world: World) -> None:
    names = [guest.name for guest in world.contract.guests]
    assert [(result.guest, result.outcome) for result in give(world)] == [(name, "saved") for name in names]
    assert all(len(archives(world, number)) == 1 for number in range(len(names)))
    world.simulated.control(op="reset-counters")
    assert give(world) == ()
    assert world.simulated.writes() == 0


def test_only_the_guests_that_are_named(world: World) -> None:
    assert [result.guest for result in give(world, "logs-vm01")] == ["logs-vm01"]
    assert archives(world, 0) == []


def test_a_guest_that_has_one_is_left_alone(world: World) -> None:
    back_up(world)
    assert [guest.name for guest in unsaved(declared(world), world.simulated.reader(), None)] == [
        guest.name for guest in world.contract.guests[1:]
    ]


def test_where_no_backup_job_is_declared_nobody_wants_one(world: World) -> None:
    assert first_backups(world.contract, names=None, **tools(world)) == ()
    assert world.simulated.writes() == 0


def test_all_of_them_are_one_task(world: World) -> None:
    assert len(give(world)) == 3
    assert read_tasks(world).count("vzdump") == 1


def test_a_task_that_fails_is_every_guests_failure(world: World) -> None:
    world.simulated.fault(kind="task-fail", task="vzdump", text="no space left on device")
    failed = give(world)
    assert len(failed) == len(world.contract.guests)
    for number, result in enumerate(failed):
        assert result.outcome == "failed"
        assert "no space left on device" in str(result.error)
        assert archives(world, number) == []


def test_one_that_fails_in_the_task_is_not_the_others_failure(world: World) -> None:
    world.simulated.control(op="remove-volume", volid=str(world.config(131)["scsi0"]).partition(",")[0])
    done = give(world)
    assert [result.outcome for result in done] == ["saved", "failed", "saved"]
    assert "Could not back up on logs-vm01 (VM 131): Backup of VM 131 failed - " in str(done[1].error)
    assert [len(archives(world, number)) for number in range(3)] == [1, 0, 1]


def test_one_that_is_locked_is_not_the_others_failure(world: World) -> None:
    edit(world, 131, lock="snapshot")
    done = give(world)
    assert [result.outcome for result in done] == ["saved", "failed", "saved"]
    assert "it is locked (snapshot)" in str(done[1].error)


def test_a_lost_answer_makes_no_second_task(world: World) -> None:
    world.simulated.fault(method="POST", path="/vzdump$", times=1, kind="596")
    done = give(world)
    assert [(result.outcome, str(result.error)) for result in done] == [("saved", "None")] * 3
    assert read_tasks(world).count("vzdump") == 1


def test_a_backup_that_runs_already_is_waited_for(world: World) -> None:
    world.simulated.fault(kind="task-stall", task="vzdump", seconds=1.0)
    world.simulated.root().post("/nodes/hv01/vzdump", {"vmid": "130", "storage": "local"})
    assert "metrics-vm01" not in [result.guest for result in give(world)]
    assert len(archives(world, 0)) == 1
    assert any("a backup runs" in event.text for event in world.events)


def test_a_backup_that_begins_just_now_is_waited_for_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request of a run that was killed may reach PVE's workers after the next run has looked for it."""
    monkeypatch.setattr("harness.engine.first_backups._wait_for_others", lambda _: None)
    world.simulated.fault(kind="task-stall", task="vzdump", seconds=20.0)
    world.simulated.root().post("/nodes/hv01/vzdump", {"vmid": "130,132", "storage": "local"})
    assert [(result.outcome, str(result.error)) for result in give(world, "logs-vm01")] == [("saved", "None")]
