"""A guest without any backup gets one, and only such a guest."""

from __future__ import annotations

from dataclasses import replace

from harness.contract import BackupJob, Contract
from harness.engine import GuestResult
from harness.engine.first_backups import first_backups, unsaved
from tests.engine.world import World
from tests.recovery.driving import archives, back_up, tools

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


def test_after_a_failure_nothing_else_is_tried(world: World) -> None:
    world.simulated.fault(kind="task-fail", task="vzdump", text="no space left on device")
    first, *others = give(world)
    assert first.outcome == "failed"
    assert "no space left on device" in str(first.error)
    assert {(result.outcome, result.error) for result in others} == {("failed", None)}
    assert archives(world, 1) == []


def test_a_backup_that_runs_already_is_waited_for(world: World) -> None:
    world.simulated.fault(kind="task-stall", task="vzdump", seconds=1.0)
    world.simulated.root().post("/nodes/hv01/vzdump", {"vmid": "130", "storage": "local"})
    assert "metrics-vm01" not in [result.guest for result in give(world)]
    assert len(archives(world, 0)) == 1
    assert any("a backup runs" in event.text for event in world.events)
