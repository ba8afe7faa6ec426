"""Backups are made once and seen, and bring a guest back in its place or beside it; or refused before any change."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from harness.contract import Contract, VmId
from harness.engine import scratch
from harness.errors import Invalid, TaskFailed, TimedOut, Unsafe
from harness.pve import backups
from tests.engine.world import World
from tests.recovery.driving import (
    METRICS,
    archives,
    assert_refused,
    back_up,
    belongings,
    destroy,
    edit,
    rebuild,
    restore,
    tools,
    try_backup,
)


def test_a_backup_is_seen_before_it_is_called_done(world: World) -> None:
    (made,) = back_up(world)
    assert made.archive.vmid == 130
    assert made.archive.notes == "metrics-vm01 by mgmt-harness"
    assert (made.archive.size_bytes or 0) > 0
    assert archives(world) == [made.archive.volid]
    kept = backups.read_saved(world.simulated.writer(), "hv01", made.archive.volid)
    assert (kept.vm.name, list(kept.disks)) == (METRICS, ["scsi0"])
    assert kept.vm.description == world.config(130)["description"].rstrip()


def test_all_guests_are_backed_up_one_after_the_other(world: World) -> None:
    made = back_up(world, *(guest.name for guest in world.contract.guests))
    assert [one.guest for one in made] == ["metrics-vm01", "logs-vm01", "alerting-vm01"]


def test_a_backup_whose_answer_was_lost_is_not_made_twice(world: World) -> None:
    world.simulated.fault(kind="drop-after", method="POST", path="/vzdump$")
    (made,) = back_up(world)
    assert archives(world) == [made.archive.volid]


def test_a_backup_that_never_arrived_is_sent_again(world: World) -> None:
    world.simulated.fault(kind="drop-before", method="POST", path="/vzdump$")
    (made,) = back_up(world)
    assert archives(world) == [made.archive.volid]


def test_a_failed_backup_says_why(world: World) -> None:
    world.simulated.fault(kind="task-fail", task="vzdump", text="no space left on device")
    with pytest.raises(TaskFailed, match="no space left on device"):
        back_up(world)


def test_a_restored_guest_is_the_same_guest(world: World) -> None:
    back_up(world)
    before, config = belongings(world), world.config(130)
    done = restore(world)
    after = world.config(130)
    assert done.result.outcome == "restored"
    moving = {"digest", "vmgenid", "scsi0", "meta"}
    assert {key: value for key, value in after.items() if key not in moving} == {
        key: value for key, value in config.items() if key not in moving
    }
    assert belongings(world) == before
    assert world.plan_is_empty()
    assert [upid.split(":")[5] for upid in done.result.upids] == ["qmstop", "qmrestore", "qmstart"]


def test_a_backup_older_than_the_declared_mac_does_not_bring_the_old_one(world: World) -> None:
    edit(world, net0="virtio=02:DE:99:01:01:77,bridge=vmbr0", memory="2048")
    back_up(world)
    restore(world)
    assert world.config(130)["net0"] == "virtio=02:de:99:01:01:00,bridge=vmbr0"
    assert world.config(130)["memory"] == "1024"


def test_a_destroyed_guest_comes_back_from_its_backup(world: World) -> None:
    (made,) = back_up(world)
    destroy(world)
    assert archives(world) == [made.archive.volid]
    restore(world)
    assert world.config(130)["status"] == "running"
    assert world.plan_is_empty()


def test_restore_without_a_backup(world: World) -> None:
    assert_refused(world, "there is no backup of it", lambda: restore(world), Invalid)


def test_restore_of_anothers_backup(world: World) -> None:
    back_up(world, "logs-vm01")
    (volid,) = archives(world, 1)
    assert_refused(world, "is a backup of VM 131, not of 130", lambda: restore(world, archive=volid), Invalid)


def test_restore_over_a_foreign_vm(world: World) -> None:
    back_up(world)
    edit(world, delete=("tags", "description"))
    assert_refused(world, "is a foreign VM", lambda: restore(world))


def test_restore_without_room(world: World) -> None:
    edit(world, scsi1="local-lvm:vm-130-disk-1,size=8G")
    world.simulated.control(op="seed", seed={"volumes": [{"volid": "local-lvm:vm-130-disk-1", "size": 8 << 30}]})
    back_up(world)
    edit(world, delete=("scsi1",))
    world.simulated.control(op="fill-storage", storage="local-lvm", available_bytes=1 << 30)
    assert_refused(world, "the storage local-lvm lacks 7.0 GiB", lambda: restore(world))


def test_a_failed_restore_is_said_and_can_be_repeated(world: World) -> None:
    (made,) = back_up(world)
    file = world.simulated.folder / "dump" / made.archive.volid.partition("/")[2]

    def lose(_: str) -> bool:
        file.rename(file.with_suffix(".lost"))
        return True

    with pytest.raises(TaskFailed, match="unable to open"):
        restore(world, agree=lose)
    assert world.config(130)["status"] == "stopped"
    world.simulated.control(op="reset-counters")
    with pytest.raises(Unsafe, match="a restore of metrics-vm01 was cut off") as caught:
        world.provision()
    assert "./invoke restore --guest metrics-vm01 --in-place" in caught.value.do
    assert world.simulated.writes() == 0
    file.with_suffix(".lost").rename(file)
    restore(world)
    assert world.plan_is_empty()


def test_what_a_killed_restore_leaves_takes_root(world: World) -> None:
    back_up(world)
    world.simulated.fault(kind="task-kill", task="qmrestore")
    with pytest.raises(TaskFailed, match="unexpected status"):
        restore(world)
    for act in (restore, rebuild, destroy):
        with pytest.raises(Unsafe, match=r"it was left locked \(create\) and no task works on it") as caught:
            act(world)
    assert "`qm unlock 130`" in caught.value.do
    edit(world, delete=("lock",))
    restore(world)
    assert world.plan_is_empty()


def with_scratch(world: World) -> Contract:
    return replace(world.contract, scratch_vmid=VmId(199), guest_deadline_s=2.0)


def test_no_scratch_number_is_declared(world: World) -> None:
    back_up(world)
    error = assert_refused(world, "names no VMID for it", partial(try_backup, world, world.contract), Invalid)
    assert "mgmt_site.scratch_vmid" in error.do


def test_the_scratch_copy_has_no_network_and_goes_away(world: World) -> None:
    back_up(world)
    contract, before = with_scratch(world), world.config(130)
    with pytest.raises(TimedOut, match="its guest agent is silent"):  # there is no guest behind this simulator
        try_backup(world, contract)
    copy = world.config(199)
    assert (copy["status"], copy["name"], copy.get("onboot", 0)) == ("running", "metrics-vm01-scratch", 0)
    assert copy["net0"] == "virtio=06:de:99:01:01:00,bridge=vmbr0,link_down=1"
    assert world.config(130) == before
    assert_refused(world, "a scratch VM is there already", partial(try_backup, world, contract))
    assert scratch.remove_scratch(contract, **tools(world), name=METRICS)
    assert world.vmids() == [130, 131, 132, 9000]
    assert not scratch.remove_scratch(contract, **tools(world), name=METRICS)


def test_what_is_no_scratch_vm_is_not_removed(world: World) -> None:
    back_up(world)
    seed = {"vms": [{"vmid": 199, "config": {"name": "win11", "memory": "512", "tags": "mgmt-harness"}}]}
    world.simulated.control(op="seed", seed=seed, directory=str(world.simulated.folder))
    contract = with_scratch(world)
    assert_refused(world, "in use by win11", partial(scratch.remove_scratch, contract, **tools(world), name=METRICS))
    assert_refused(world, "in use by win11", partial(try_backup, world, contract))
