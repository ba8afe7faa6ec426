"""A drill runs where it is allowed, says what it proved or what is broken, and leaves the site as it found it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.drills.judging import Unjudged
from harness.drills.record import Record, read_record
from harness.errors import Unsafe
from harness.journal import journal_of
from harness.wait import wait_until
from tests.engine.sweeps import ALL
from tests.engine.world import World
from tests.recovery.driving import METRICS, allowed, archives, back_up, belongings, drill, restore
from tests.recovery.test_recovery_killed import killed

# `vmgenid` says that time went backwards, which it did; the digest covers it.
MOVING = {"vmgenid", "digest", "scsi0"}


def site(world: World) -> object:
    configs = {
        vmid: {key: value for key, value in world.config(vmid).items() if key not in MOVING} for vmid in world.vmids()
    }
    return configs, belongings(world), archives(world), journal_of(world.contract).apart(), world.plan_is_empty()


def recorded(world: World, name: str) -> Record:
    record = read_record(world.contract.state_dir, name)
    assert record is not None
    return record


def shown(record: Record) -> str:
    """What the promise is judged by."""
    return " ".join(one.seen for one in record.evidence if one.good is not None)


def at(step: str, act: Callable[[], object]) -> Callable[[str], None]:
    """Once, when that step of the guest is told to begin."""
    told: list[str] = []

    def report(text: str) -> None:
        if f"{METRICS}: {step} " in text and not told:
            told.append(text)
            act()

    return report


@pytest.mark.parametrize("name", ["restore", "rebuild"])
def test_refused_where_the_inventory_does_not_allow_it(world: World, name: str) -> None:
    with pytest.raises(Unsafe, match="its inventory allows none; nothing was changed") as caught:
        drill(world, name, contract=world.contract)
    assert "mgmt_site.drills" in caught.value.do
    assert world.simulated.writes() == 0


def test_a_rebuilt_guest_has_its_disks_back_afterwards(world: World) -> None:
    before, uuid = site(world), world.config(130)["smbios1"]
    told: list[str] = []
    done = drill(world, "rebuild", report=told.append)
    assert (done.result, done.drill) == ("good", "rebuild")
    assert "VM 130, 02:de:99:01:01:00, 198.18.99.30" in shown(done)
    assert site(world) == before
    assert world.config(130)["smbios1"] == uuid
    steps = [text.partition(f"{METRICS}: ")[2].partition(" ")[0] for text in told]
    assert steps.index("backup") < steps.index("delete") < steps.index("clone") < steps.index("restore")


def test_what_is_to_be_undone_is_on_disk_before_the_change(world: World) -> None:
    uuid, undo = world.config(130)["smbios1"], {}

    def note(text: str) -> None:
        for step in ("backup", "delete"):
            if f"{METRICS}: {step} " in text:
                record = recorded(world, "rebuild")
                assert record.result == "unfinished"
                undo[step] = dict(record.undo)

    assert drill(world, "rebuild", report=note).undo == {}
    assert undo["backup"] == {"guest": METRICS, "machine": uuid}
    assert undo["delete"]["archive"].startswith("local:backup/vzdump-qemu-130-")


def test_a_rebuild_that_does_not_come_up_is_red_and_undone(world: World) -> None:
    before = site(world)
    world.simulated.fault(kind="task-fail", task="qmstart", text="start failed: QEMU exited with code 1")
    done = drill(world, "rebuild")
    assert (done.result, done.left) == ("bad", ())
    assert "QEMU exited with code 1" in done.message
    assert site(world) == before


def test_what_could_not_be_looked_at_is_not_red(world: World) -> None:
    before = site(world)
    contract = replace(allowed(world), known_hosts=())
    world.simulated.control(op="edit-config", vmid=9000, set={}, delete=["template"])
    with pytest.raises(Unjudged, match=r"it was not found out whether it holds\..* is not a template"):
        drill(world, "rebuild", contract=contract)
    record = recorded(world, "rebuild")
    assert (record.result, record.left, record.last_good) == ("interrupted", (), None)
    assert "is not a template" in record.message
    world.simulated.control(op="edit-config", vmid=9000, set={"template": "1"})
    assert site(world) == before


@pytest.mark.parametrize("step", ["clone", "configure", "reach", "compare"])
def test_stopped_anywhere_it_leaves_the_site_as_it_was(world: World, step: str) -> None:
    before = site(world)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drill(world, "rebuild", report=at(step, stop))
    assert recorded(world, "rebuild").message == "interrupted; everything is put back"
    assert site(world) == before


def wait_for_tasks(world: World) -> None:
    def look() -> tuple[bool | None, str]:
        active = world.simulated.root().get("/nodes/hv01/tasks", {"source": "active"})
        running = [task["upid"] for task in active if "endtime" not in task]
        return (None if running else True), str(running)

    assert wait_until(look, deadline_s=20).value


KILLS = {
    "while the guest is gone": ("DELETE", "/qemu/130$"),
    "before it is touched": ("PUT", "/qemu/130/config$"),
    "half built": ("POST", "/qemu/9000/clone$"),
    "built": ("POST", "/qemu/130/status/start$"),
    "while it gets its disks back": ("POST", "/qemu$"),
    "after that": ("DELETE", "/content/"),
}


@pytest.mark.parametrize(("method", "path"), list(KILLS.values())[: None if ALL else 1])
def test_what_a_killed_drill_left_is_undone_by_the_next_one(world: World, method: str, path: str) -> None:
    """Nothing of it ran its clean-up."""
    before = site(world)
    assert killed(world, "drill rebuild", "kill-after", method=method, path=path) == -signal.SIGKILL
    world.simulated.control(op="clear-faults")
    wait_for_tasks(world)
    assert (method, path) != KILLS["while the guest is gone"] or 130 not in world.vmids()
    assert recorded(world, "rebuild").result == "unfinished"
    told: list[str] = []
    assert drill(world, "rebuild", report=told.append).result == "good"
    assert "The drill rebuild of" in told[0]
    assert "was cut off" in told[0]
    assert site(world) == before


def test_without_a_backup_the_restore_drill_is_red(world: World) -> None:
    before = site(world)
    done = drill(world, "restore")
    assert done.result == "bad"
    assert "there is no backup of it" in done.message
    assert world.simulated.writes() == 0
    assert site(world) == before


def test_a_backup_that_does_not_boot_is_red_and_its_copy_goes(world: World) -> None:
    back_up(world)
    before = site(world)
    done = drill(world, "restore")  # nothing boots behind this simulator
    assert (done.result, done.left) == ("bad", ())
    assert "its guest agent is silent" in done.message
    assert site(world) == before


def test_what_a_killed_restore_leaves_goes_as_well(world: World) -> None:
    back_up(world)
    before = site(world)
    world.wire.pvesh = world.simulated.folder / "state" / "pvesh.sock"
    world.simulated.fault(kind="task-kill", task="qmrestore")
    done = drill(world, "restore")
    assert (done.result, "unexpected status" in done.message) == ("bad", True)
    assert site(world) == before


def test_without_a_login_as_root_it_stays_to_be_undone(world: World) -> None:
    back_up(world)
    before, told = site(world), list[str]()
    world.simulated.fault(kind="task-kill", task="qmrestore")
    done = drill(world, "restore")
    assert done.result == "bad"
    assert "`qm unlock 199 && qm destroy 199`" in done.left[0]
    assert done.undo == {"guest": METRICS}
    world.wire.pvesh = world.simulated.folder / "state" / "pvesh.sock"
    assert drill(world, "rebuild", report=told.append).result == "good"  # whichever drill comes next
    assert "could not undo everything" in told[0]
    put_back = recorded(world, "restore")
    assert (put_back.result, put_back.left, put_back.undo) == ("bad", (), {})
    assert "put back, at" in put_back.message
    assert site(world) == before


def test_a_damaged_backup_is_red_and_its_copy_goes(world: World) -> None:
    world.wire.pvesh = world.simulated.folder / "state" / "pvesh.sock"
    (made,) = back_up(world)
    before = site(world)
    file = world.simulated.folder / "dump" / made.archive.volid.partition("/")[2]
    lost = file.with_suffix(".lost")
    done = drill(world, "restore", report=at("restore", lambda: shutil.move(file, lost)))
    assert done.result == "bad"
    assert "unable to open" in done.message
    assert site(world) == before
    lost.rename(file)
    restore(world)
