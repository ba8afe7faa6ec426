"""What the tests of rebuild, destroy, backup and restore do with one simulated site, and ask of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.contract import Contract, VmId
from harness.drills.record import Record
from harness.drills.run import conduct, request
from harness.drills.tools import Tools
from harness.engine import backing_up, destroying, rebuilding, restoring, saved, scratch
from harness.engine.rebuilding import Done
from harness.errors import HarnessError, Unsafe
from harness.pve.belongings import Belongings, read_belongings
from harness.wait import wait_until
from tests.engine.world import World

METRICS = "metrics-vm01"


def keep(world: World) -> None:
    """Note this state for `back`."""
    world.simulated.control(op="snapshot", name="whole")
    shutil.copytree(world.contract.state_dir, world.simulated.folder / "whole")


def back(world: World) -> None:
    world.simulated.control(op="clear-faults")
    world.simulated.control(op="restore", name="whole")
    shutil.rmtree(world.contract.state_dir)
    shutil.copytree(world.simulated.folder / "whole", world.contract.state_dir)
    world.simulated.control(op="reset-counters")
    world.events.clear()


def with_jobs(world: World) -> None:
    """One that backs two guests up by number, and one that backs up the pool."""
    job = {"schedule": "02:00", "storage": "local", "prune-backups": "keep-last=3"}
    world.simulated.root().post("/cluster/backup", {"id": "by-number", "vmid": "130,131", **job})
    world.simulated.root().post("/cluster/backup", {"id": "by-pool", "pool": "mgmt", **job})


def tools(world: World) -> dict[str, Any]:
    writer, reader = world.simulated.pair()
    return {
        "client": writer,
        "reader": reader,
        "looks": world.wire.looks(),
        "report": world.events.append,
    }


def rebuild(world: World, *, contract: Contract | None = None, **changes: Any) -> Done:
    arguments = {**tools(world), "name": METRICS, "without_backup": True, "agent_grace_s": 0.0, **changes}
    done = rebuilding.rebuild(contract or world.contract, **arguments)
    assert done is not None
    return done


def rebuild_with_backup(world: World, contract: Contract | None = None) -> Done:
    return rebuild(world, contract=contract, without_backup=False)


def destroy(world: World, **changes: Any) -> Done | None:
    return destroying.destroy(world.contract, **{**tools(world), "name": METRICS, "agree": lambda _: True, **changes})


def restore(world: World, **changes: Any) -> Done:
    arguments = {**tools(world), "name": METRICS, "archive": None, "agent_grace_s": 0.0, **changes}
    done = restoring.restore_in_place(world.contract, **arguments)
    assert done is not None
    return done


def try_backup(world: World, contract: Contract) -> scratch.Tried:
    return scratch.restore_to_scratch(contract, **tools(world), name=METRICS, archive=None)


def back_up(world: World, *names: str) -> tuple[backing_up.BackedUp, ...]:
    return backing_up.back_up(world.contract, **tools(world), names=names or (METRICS,))


def allowed(world: World) -> Contract:
    """The drills of one VM may be run."""
    return replace(
        world.contract, scratch_vmid=VmId(199), drills=frozenset({"restore", "rebuild"}), guest_deadline_s=2.0
    )


def drill(
    world: World, name: str, *, contract: Contract | None = None, report: Callable[[str], None] | None = None
) -> Record:
    """As the command does, where no hypervisor has a shell and no router is asked."""
    contract = contract or allowed(world)
    tools = Tools(contract, agent_grace_s=0.0)
    tools.guest_looks, tools.router = world.wire.looks(), None
    return conduct(request(contract, name, METRICS), tools, report or (lambda _: None))


def archives(world: World, number: int = 0) -> list[str]:
    client = world.simulated.writer()
    return [one.volid for one in saved.archives_of(world.contract, client, world.contract.guests[number])]


def belongings(world: World, vmid: int = 130) -> Belongings:
    return read_belongings(world.simulated.reader(), "hv01", vmid, "mgmt")


def edit(world: World, vmid: int = 130, *, delete: tuple[str, ...] = (), **keys: str) -> None:
    world.simulated.control(op="edit-config", vmid=vmid, set=keys, delete=list(delete))


def wait_for_backup(world: World, number: int = 0) -> None:
    def look() -> tuple[bool | None, str]:
        lock = world.config(130 + number).get("lock")
        return (None if lock or not archives(world, number) else True), str(lock)

    assert wait_until(look, deadline_s=10).value


def assert_refused(world: World, words: str, act: Any, kind: type[HarnessError] = Unsafe) -> HarnessError:
    """Refused with these words, not one write on the hypervisor, and the guest as it was."""
    before = world.config(130)
    world.simulated.control(op="reset-counters")
    with pytest.raises(kind, match=words) as caught:
        act()
    assert world.simulated.writes() == 0
    assert world.config(130) == before
    assert "nothing was changed" in str(caught.value)
    return caught.value
