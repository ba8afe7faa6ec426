"""PVE's own work is the longest chain of one VM's steps and what all VMs wait for, however it was called."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.critical_path import CriticalPath, Guest, critical_path

NODE = "/nodes/hv01"


def write(path: str, began: float, ended: float | None, **params: str) -> dict[str, Any]:
    return {"path": NODE + path, "params": params, "task": None, "began": began, "ended": ended}


def task(path: str, began: float, ended: float | None, **params: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The write is answered at once, its task goes on."""
    upid = f"UPID:hv01:{path}:{params}"
    return write(path, began, began, **params) | {"task": upid}, {"upid": upid, "began": began, "ended": ended}


def path_of(*steps: Any, guests: dict[int, Guest]) -> CriticalPath | None:
    pairs = [step for step in steps if isinstance(step, tuple)]
    writes = [step[0] if isinstance(step, tuple) else step for step in steps]
    return critical_path(writes, [one for _, one in pairs], guests)


def made(vmid: int, *, clone: float, start: float, at: float = 100.0) -> list[Any]:
    """A VM whose steps have long pauses between them, which are nobody's work but the caller's."""
    return [
        task("/qemu/9000/clone", at, at + clone, newid=str(vmid)),
        write(f"/qemu/{vmid}/config", at + 10, at + 10.25),
        task(f"/qemu/{vmid}/status/start", at + 20, at + 20 + start),
    ]


def guest(vmid_started: float, boot: float, identity: float = 1.0) -> Guest:
    up = vmid_started + boot
    return Guest(agent_up=up, identity_begun=up + 5, identity_done=up + 5 + identity)


def test_pauses_of_the_caller_are_not_in_it() -> None:
    found = path_of(
        *made(130, clone=1.0, start=2.0),
        write("/qemu/130/agent/exec", 140.0, 140.5),
        write("/qemu/130/config", 150.0, 150.25),
        task("/vzdump", 160.0, 164.0, vmid="130"),
        guests={130: guest(122.0, 3.0)},
    )
    assert found == CriticalPath(clone=1.0, configure=0.5, start=2.0, boot=3.0, backup=4.0, identity=1.0)
    assert found.seconds == pytest.approx(10.5)


@pytest.mark.parametrize(
    ("until", "clone", "boot", "backup"),
    [
        # 5 + 1 + 1 of the one and 1 + 1 + 9 of the other, each with the 0.25 of its configuration
        (165.0, 1.0, 9.0, 2.5),  # the last one and its own backup: 13.75; the first one and both: 12.25
        (173.0, 5.0, 1.0, 13.0),  # the first one and both: 20.25; the last one and its own: 17.75
    ],
)
def test_backups_begin_with_the_first_vm_or_end_with_the_last(
    until: float, clone: float, boot: float, backup: float
) -> None:
    found = path_of(
        *made(130, clone=5.0, start=1.0),
        *made(131, clone=1.0, start=1.0),
        task("/vzdump", 160.0, 161.0, vmid="130"),
        task("/vzdump", 161.0, until, vmid="131"),
        guests={130: guest(121.0, 1.0), 131: guest(121.0, 9.0)},
    )
    assert found is not None
    assert (found.clone, found.boot, found.backup) == (clone, boot, backup)


def test_backup_tasks_that_wait_for_one_another_count_once() -> None:
    tasks = [task("/vzdump", 160.0 + at, 163.0 + at, vmid=str(130 + at)) for at in (0, 1, 2)]
    found = path_of(*made(130, clone=1.0, start=1.0), *tasks, guests={130: guest(121.0, 1.0)})
    assert found is not None
    assert found.backup == 5.0


def test_vms_made_at_once_count_as_one() -> None:
    """PVE clones and starts all of them side by side: ten are no longer than one."""
    every = [step for vmid in range(130, 140) for step in made(vmid, clone=0.5, start=1.0)]
    found = path_of(*every, guests={vmid: guest(121.0, 1.5) for vmid in range(130, 140)})
    assert found is not None
    assert found.seconds == pytest.approx(0.5 + 0.25 + 1.0 + 1.5)


def test_an_agent_that_is_up_before_its_start_task_ends_booted_in_no_time() -> None:
    found = path_of(*made(130, clone=1.0, start=2.0), guests={130: guest(122.0, -0.5)})
    assert found is not None
    assert found.boot == 0.0


@pytest.mark.parametrize(
    ("steps", "guests"),
    [
        pytest.param([write("/qemu/130/config", 1.0, 2.0)], {}, id="nothing was made"),
        pytest.param(made(130, clone=1.0, start=2.0), {}, id="it never came up"),
        pytest.param([task("/qemu/9000/clone", 1.0, None, newid="130")], {}, id="its clone did not end"),
    ],
)
def test_without_whole_vms_there_is_none(steps: list[Any], guests: dict[int, Guest]) -> None:
    assert path_of(*steps, guests=guests) is None


def test_it_says_its_steps_and_keeps_our_script_apart() -> None:
    said = str(CriticalPath(clone=1.0, configure=0.5, start=2.0, boot=3.0, backup=4.0, identity=0.8))
    assert said == "clone 1.00 + configure 0.50 + start 2.00 + boot 3.00 + backup 4.00 = 10.50 s; identity 0.80 s"
