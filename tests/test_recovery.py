"""Rebuild, destroy, back up and restore against the simulated hypervisor: refused before the first change, or done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Contract, VmId
from harness.engine import backing_up, destroying, rebuilding, restoring, saved, scratch
from harness.engine.observe import journal_of
from harness.engine.rebuilding import Done
from harness.errors import HarnessError, Invalid, Refused, TaskFailed, TimedOut, Unsafe
from harness.pve import backups
from harness.pve.belongings import read_belongings
from harness.wait import wait_until
from tests.pve.served import make_certificate
from tests.simulators import simulating
from tests.test_engine import World, world_of

METRICS = "metrics-vm01"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def world(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[World]:
    """Three guests made, and a job that backs two of them up by number and one that backs up the pool."""
    with simulating(tmp_path, *certificate) as simulated:
        made = world_of(simulated)
        assert not made.provision().failed
        with_jobs(made)
        simulated.control(op="reset-counters")
        made.events.clear()
        yield made


def with_jobs(world: World) -> None:
    """One that backs two guests up by number, and one that backs up the pool."""
    job = {"schedule": "02:00", "storage": "local", "prune-backups": "keep-last=3"}
    world.simulated.root().post("/cluster/backup", {"id": "by-number", "vmid": "130,131", **job})
    world.simulated.root().post("/cluster/backup", {"id": "by-pool", "pool": "mgmt", **job})


def tools(world: World) -> dict[str, Any]:
    return {
        "client": world.simulated.writer(),
        "reader": world.simulated.reader(),
        "looks": world.wire.looks(),
        "report": world.events.append,
    }


def rebuild(world: World, *, contract: Contract | None = None, **changes: Any) -> Done:
    arguments = {**tools(world), "name": METRICS, "without_backup": True, "agent_grace_s": 0.0, **changes}
    done = rebuilding.rebuild(contract or world.contract, **arguments)
    assert done is not None
    return done


def destroy(world: World, **changes: Any) -> Done | None:
    return destroying.destroy(world.contract, **{**tools(world), "name": METRICS, "agree": lambda _: True, **changes})


def belongings(world: World, vmid: int = 130) -> object:
    return read_belongings(world.simulated.reader(), "hv01", vmid, "mgmt")


def named(world: World) -> list[tuple[str, str]]:
    """Every step that was done and may change something, in order."""
    return [(str(event.guest), str(event.step)) for event in world.events if event.state == "done"]


def edit(world: World, vmid: int = 130, *, delete: tuple[str, ...] = (), **keys: str) -> None:
    world.simulated.control(op="edit-config", vmid=vmid, set=keys, delete=list(delete))


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


# --- rebuild ----------------------------------------------------------------------------------------------------------


def test_a_rebuilt_guest_is_the_same_guest(world: World) -> None:
    keys = ("name", "net0", "memory", "cores", "onboot", "startup", "protection", "tags", "description", "status")
    world.simulated.root().put("/nodes/hv01/qemu/130/firewall/options", {"enable": 1, "policy_in": "DROP"})
    before, config = belongings(world), world.config(130)
    done = rebuild(world)
    after = world.config(130)
    assert (done.result.outcome, done.notes) == ("rebuilt", ())
    assert {key: after[key] for key in keys} == {key: config[key] for key in keys}
    assert after["smbios1"] != config["smbios1"]  # and yet another machine
    assert belongings(world) == before
    assert '"enable": 1' in str(before)
    assert world.plan_is_empty()
    assert list(done.result.seconds)[:4] == ["check", "protect", "stop", "delete"]
    assert [upid.split(":")[5] for upid in done.result.upids] == ["qmstop", "qmdestroy", "qmclone", "qmstart"]


def test_only_the_named_guest_is_touched(world: World) -> None:
    others = [world.config(131), world.config(132), world.config(9000)]
    rebuild(world)
    assert [world.config(131), world.config(132), world.config(9000)] == others


def test_deleted_without_purge(world: World) -> None:
    rebuild(world)
    assert [str(call) for call in world.simulated.calls() if str(call).startswith("DELETE")] != []
    jobs = {job["id"]: job for job in world.simulated.reader().get("/cluster/backup")}
    assert jobs["by-number"]["vmid"] == "130,131"


def test_no_is_no(world: World) -> None:
    said: list[str] = []

    def agree(lost: str) -> bool:
        said.append(lost)
        return False

    before = world.config(130)
    done = rebuilding.rebuild(world.contract, **tools(world), name=METRICS, without_backup=True, agree=agree)
    assert done is None
    assert said == ["what is on its disks is lost: no backup was asked for"]
    assert world.config(130) == before
    assert world.simulated.writes() == 0


def test_an_unknown_guest(world: World) -> None:
    assert_refused(world, "no management VM named 'metrics'", lambda: rebuild(world, name="metrics"), Invalid)
    assert_refused(world, r"no management VM named '\*'", lambda: destroy(world, name="*"), Invalid)


def test_a_foreign_vm(world: World) -> None:
    edit(world, delete=("tags", "description"))
    assert_refused(world, "is a foreign VM: it carries no mark of this tool", lambda: rebuild(world))
    assert_refused(world, "is a foreign VM: it carries no mark of this tool", lambda: destroy(world))


def test_a_vm_of_another_site(world: World) -> None:
    line = "mgmt-harness: site=dvntm guest=metrics-vm01 template=fedora build=x mode=linked"
    edit(world, description=line)
    assert_refused(world, "is metrics-vm01 of site dvntm, as its notes say", lambda: rebuild(world))
    assert_refused(world, "is metrics-vm01 of site dvntm, as its notes say", lambda: destroy(world))


@pytest.mark.parametrize("lost", ["tags", "description"])
def test_half_a_mark_is_none(world: World, lost: str) -> None:
    edit(world, delete=(lost,))
    assert_refused(world, "has lost the tag|no provenance line", lambda: rebuild(world))
    assert_refused(world, "has lost the tag|no provenance line", lambda: destroy(world))


def test_a_guest_that_is_not_there(world: World) -> None:
    destroy(world)
    world.simulated.control(op="reset-counters")
    with pytest.raises(Unsafe, match="there is no such VM") as caught:
        rebuild(world)
    assert "./invoke provision --guest metrics-vm01" in caught.value.do
    with pytest.raises(Unsafe, match="there is no such VM"):
        destroy(world)
    assert world.simulated.writes() == 0


def test_a_locked_vm(world: World) -> None:
    edit(world, lock="backup")
    error = assert_refused(world, r"it is locked \(backup\)", lambda: rebuild(world))
    assert "qm unlock 130" in error.do
    assert_refused(world, r"it is locked \(backup\)", lambda: destroy(world))


@pytest.mark.parametrize("slot", ["scsi1", "unused0"])
def test_a_data_disk_is_not_lost(world: World, slot: str) -> None:
    world.simulated.control(op="edit-config", vmid=130, set={slot: "local-lvm:vm-130-disk-7,size=8G"})
    error = assert_refused(world, f"it has disks of its own.*{slot}", lambda: rebuild(world))
    assert f"ephemeral_disks: [{slot}]" in error.do


def test_an_ephemeral_disk_may_go(world: World) -> None:
    world.simulated.root().put("/nodes/hv01/qemu/130/config", {"scsi1": "local-lvm:1"})
    first, *others = world.contract.guests
    contract = replace(world.contract, guests=(replace(first, ephemeral_disks=frozenset({"scsi1"})), *others))
    rebuild(world, contract=contract)
    assert "scsi1" not in world.config(130)


def test_what_the_new_one_needs_is_looked_at_before_the_old_one_goes(world: World) -> None:
    world.simulated.control(op="fill-storage", storage="local-lvm", available_bytes=0)
    assert_refused(world, "the storage local-lvm has 0.0 GiB free", lambda: rebuild(world))


def test_a_router_that_would_not_serve_it_stops_it(world: World) -> None:
    def ready(_: object) -> None:
        raise Unsafe(tried="rebuild", on="core-rt01", happened="no reservation; nothing was changed", do="router.apply")

    assert_refused(world, "no reservation", lambda: rebuild(world, ready=ready))


def test_a_missing_privilege_is_found_first(world: World) -> None:
    privileges = "VM.Audit,VM.Clone,VM.Config.CPU,VM.Config.Memory,VM.Config.Network,VM.Config.Options,Pool.Audit"
    world.simulated.root().put("/access/roles/MgmtProvision", {"privs": privileges})
    assert_refused(world, r"the token lacks VM\.Allocate on /pool/mgmt", lambda: rebuild(world), Refused)


def test_entries_of_the_access_list_would_be_lost(world: World) -> None:
    world.simulated.root().put("/access/acl", {"path": "/vms/130", "roles": "MgmtAudit", "users": "verify@pve"})
    assert_refused(world, "PVE deletes entries of the access list on it with the VM", lambda: rebuild(world))


def test_a_refused_delete_ends_with_the_guest_as_it_was(world: World) -> None:
    words = "can't remove VM 130 - replication jobs exist"
    world.simulated.fault(kind="status", method="DELETE", path="/qemu/130$", status=500, reason=words, text=words)
    before = world.config(130)
    with pytest.raises(HarnessError, match="can't remove VM 130"):
        rebuild(world)
    after = world.config(130)
    assert (after["status"], after["protection"], after["scsi0"]) == ("running", 1, before["scsi0"])
    assert journal_of(world.contract).apart() == {}
    assert world.plan_is_empty()


# --- destroy ----------------------------------------------------------------------------------------------------------


def test_destroyed_with_its_place_in_backup_jobs(world: World) -> None:
    said: list[str] = []
    done = destroy(world, agree=lambda lost: not said.append(lost))  # type: ignore[func-returns-value]
    assert done is not None
    assert done.result.outcome == "destroyed"
    assert world.vmids() == [131, 132, 9000]
    jobs = {job["id"]: job for job in world.simulated.reader().get("/cluster/backup")}
    assert jobs["by-number"]["vmid"] == "131"
    assert "scsi0" in said[0]
    assert "there is no backup of it" in said[0]
    assert journal_of(world.contract).apart() == {}


def test_destroyed_guests_can_be_made_again(world: World) -> None:
    destroy(world)
    assert not world.provision(only={METRICS}).failed
    assert world.config(130)["net0"] == "virtio=02:de:99:01:01:00,bridge=vmbr0"


# --- backup -----------------------------------------------------------------------------------------------------------


def back_up(world: World, *names: str) -> tuple[backing_up.BackedUp, ...]:
    return backing_up.back_up(world.contract, **tools(world), names=names or (METRICS,))


def archives(world: World, number: int = 0) -> list[str]:
    client = world.simulated.writer()
    return [one.volid for one in saved.archives_of(world.contract, client, world.contract.guests[number])]


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


# --- a young backup before a rebuild ----------------------------------------------------------------------------------


def rebuild_with_backup(world: World, contract: Contract | None = None) -> Done:
    return rebuild(world, contract=contract, without_backup=False)


def test_no_backup(world: World) -> None:
    error = assert_refused(world, "there is no backup of it", lambda: rebuild_with_backup(world))
    assert "./invoke backup.now --guest metrics-vm01" in error.do
    assert "--without-backup" in error.do


def test_an_old_backup(world: World) -> None:
    back_up(world)
    contract = replace(world.contract, backup_max_age_s=-1.0)
    assert_refused(world, "its newest backup is 0 min old", lambda: rebuild_with_backup(world, contract))


def test_a_young_backup_lets_it_go_on(world: World) -> None:
    (made,) = back_up(world)
    said: list[str] = []
    rebuild(world, without_backup=False, agree=lambda lost: not said.append(lost))  # type: ignore[func-returns-value]
    assert said == [f"what changed since the backup of 0 min ago ({made.archive.volid}) is lost"]
    assert archives(world) == [made.archive.volid]


def test_a_backup_without_the_disk(world: World) -> None:
    edit(world, scsi0=world.config(130)["scsi0"] + ",backup=0")
    back_up(world)
    assert_refused(world, "leaves out scsi0", lambda: rebuild_with_backup(world))


def test_a_backup_of_whoever_had_the_number_before(world: World) -> None:
    mine = world.config(130)["description"]
    edit(world, description="mgmt-harness: site=dvntm guest=metrics-vm01 template=x build=x mode=full")
    world.simulated.root().post("/nodes/hv01/vzdump", {"vmid": 130, "storage": "local"})
    wait_for_backup(world)
    edit(world, description=mine)
    assert_refused(world, "is of another VM.*of site dvntm", lambda: rebuild_with_backup(world))
    assert_refused(world, "is not of this guest.*of site dvntm", lambda: restore(world))


def wait_for_backup(world: World, number: int = 0) -> None:
    def look() -> tuple[bool | None, str]:
        lock = world.config(130 + number).get("lock")
        return (None if lock or not archives(world, number) else True), str(lock)

    assert wait_until(look, deadline_s=10).value


@pytest.mark.parametrize("vmids", ["130", "131,130"])
def test_nothing_is_deleted_while_a_backup_runs(world: World, vmids: str) -> None:
    """Alone, or in a task that is at another VM still."""
    world.simulated.fault(kind="task-stall", task="vzdump", seconds=100.0)
    world.simulated.root().post("/nodes/hv01/vzdump", {"vmid": vmids, "storage": "local"})
    for act in (lambda: rebuild(world), lambda: destroy(world), lambda: back_up(world)):
        assert_refused(world, r"it is locked \(backup\)|vzdump of root@pam works on it|a backup runs on hv01", act)


# --- restore in place -------------------------------------------------------------------------------------------------


def restore(world: World, **changes: Any) -> Done:
    arguments = {**tools(world), "name": METRICS, "archive": None, "agent_grace_s": 0.0, **changes}
    done = restoring.restore_in_place(world.contract, **arguments)
    assert done is not None
    return done


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


# --- restore to a scratch VM ------------------------------------------------------------------------------------------


def with_scratch(world: World) -> Contract:
    return replace(world.contract, scratch_vmid=VmId(199), guest_deadline_s=2.0)


def try_backup(world: World, contract: Contract) -> scratch.Tried:
    return scratch.restore_to_scratch(contract, **tools(world), name=METRICS, archive=None)


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
