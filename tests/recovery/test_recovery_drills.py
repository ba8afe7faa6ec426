"""A drill runs where it is allowed, says what it proved or what is broken, and leaves the site as it found it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.contract import Contract, VmId
from harness.engine import drills
from harness.engine.drills import Drilled
from harness.engine.events import Event
from harness.engine.observe import journal_of
from harness.errors import Invalid
from tests.engine.world import World
from tests.recovery.driving import METRICS, archives, back_up, belongings, restore, tools

# `vmgenid` says that time went backwards, which it did; the digest covers it.
MOVING = {"vmgenid", "digest", "scsi0"}


def allowed(world: World) -> Contract:
    return replace(
        world.contract, scratch_vmid=VmId(199), drills=frozenset({"restore", "rebuild"}), guest_deadline_s=2.0
    )


def drilled(world: World, contract: Contract | None = None) -> Drilled:
    return Drilled(contract or allowed(world), guest=METRICS, agent_grace_s=0.0, **tools(world))


def site(world: World) -> object:
    configs = {
        vmid: {key: value for key, value in world.config(vmid).items() if key not in MOVING} for vmid in world.vmids()
    }
    return configs, belongings(world), archives(world), journal_of(world.contract).apart(), world.plan_is_empty()


@pytest.mark.parametrize("drill", [drills.drill_restore, drills.drill_rebuild])
def test_refused_where_the_inventory_does_not_allow_it(world: World, drill: object) -> None:
    with pytest.raises(Invalid, match=r"the inventory does not allow it there \(allowed: none\)") as caught:
        drill(drilled(world, world.contract))  # type: ignore[operator]
    assert "mgmt_site.drills" in caught.value.do
    assert world.simulated.writes() == 0


def test_a_rebuilt_guest_has_its_disks_back_afterwards(world: World) -> None:
    before, uuid = site(world), world.config(130)["smbios1"]
    done = drills.drill_rebuild(drilled(world))
    assert (done.verdict, done.drill) == ("pass", "rebuild")
    assert "VM 130, 02:de:99:01:01:00, 198.18.99.30" in done.said
    assert site(world) == before
    assert world.config(130)["smbios1"] == uuid
    steps = [event.step for event in world.events if event.state == "done"]
    assert steps.index("backup") < steps.index("delete") < steps.index("clone") < steps.index("restore")


def test_a_rebuild_that_does_not_come_up_is_red_and_undone(world: World) -> None:
    before = site(world)
    world.simulated.fault(kind="task-fail", task="qmstart", text="start failed: QEMU exited with code 1")
    done = drills.drill_rebuild(drilled(world))
    assert done.verdict == "fail"
    assert "QEMU exited with code 1" in done.said
    assert site(world) == before


def test_what_could_not_be_looked_at_is_not_red(world: World) -> None:
    before = site(world)
    contract = replace(allowed(world), known_hosts=())
    world.simulated.control(op="edit-config", vmid=9000, set={}, delete=["template"])
    done = drills.drill_rebuild(drilled(world, contract))
    assert done.verdict == "unknown"
    assert "is not a template" in done.said
    world.simulated.control(op="edit-config", vmid=9000, set={"template": "1"})
    assert site(world) == before


@pytest.mark.parametrize("step", ["delete", "clone", "start", "finish"])
def test_stopped_anywhere_it_leaves_the_site_as_it_was(world: World, step: str) -> None:
    before = site(world)
    stopped: list[Event] = []

    def stop(event: Event) -> None:
        if event.step == step and event.state == "done" and not stopped:
            stopped.append(event)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drills.drill_rebuild(replace(drilled(world), report=stop))
    assert stopped
    assert site(world) == before


def test_what_a_killed_drill_left_is_undone_by_the_next_one(world: World) -> None:
    """Killed while the guest is gone: nothing of it ran its clean-up."""
    before = site(world)

    class KilledError(BaseException):
        pass

    def kill(event: Event) -> None:
        if event.step == "delete" and event.state == "done":
            raise KilledError

    with pytest.raises(KilledError):
        drills.drill_rebuild(replace(drilled(world), report=kill))
    assert 130 not in world.vmids()
    assert drills.drill_rebuild(drilled(world)).verdict == "pass"
    assert site(world) == before


def test_without_a_backup_the_restore_drill_is_red(world: World) -> None:
    before = site(world)
    done = drills.drill_restore(drilled(world))
    assert done.verdict == "fail"
    assert "there is no backup of it" in done.said
    assert site(world) == before


def test_a_backup_that_does_not_boot_is_red_and_its_copy_goes(world: World) -> None:
    back_up(world)
    before = site(world)
    done = drills.drill_restore(drilled(world))  # nothing boots behind this simulator
    assert done.verdict == "fail"
    assert "its guest agent is silent" in done.said
    assert site(world) == before


def test_what_a_killed_restore_leaves_goes_as_well(world: World) -> None:
    back_up(world)
    before = site(world)
    world.wire.pvesh = world.simulated.folder / "state" / "pvesh.sock"
    world.simulated.fault(kind="task-kill", task="qmrestore")
    done = drills.drill_restore(drilled(world))
    assert (done.verdict, "unexpected status" in done.said) == ("fail", True)
    assert site(world) == before


def test_without_a_login_as_root_it_stays_to_be_undone(world: World) -> None:
    back_up(world)
    before = site(world)
    world.simulated.fault(kind="task-kill", task="qmrestore")
    done = drills.drill_restore(drilled(world))
    assert done.verdict == "fail"
    assert "`qm unlock 199 && qm destroy 199`" in done.said
    world.wire.pvesh = world.simulated.folder / "state" / "pvesh.sock"
    drills.drill_restore(drilled(world))
    assert site(world) == before


def test_a_damaged_backup_is_red_and_its_copy_goes(world: World) -> None:
    world.wire.pvesh = world.simulated.folder / "state" / "pvesh.sock"
    (made,) = back_up(world)
    before = site(world)
    file = world.simulated.folder / "dump" / made.archive.volid.partition("/")[2]

    def damage(event: Event) -> None:
        if (event.step, event.state) == ("restore", "begin"):
            file.rename(file.with_suffix(".lost"))

    done = drills.drill_restore(replace(drilled(world), report=damage))
    assert done.verdict == "fail"
    assert "unable to open" in done.said
    assert site(world) == before
    file.with_suffix(".lost").rename(file)
    restore(world)
