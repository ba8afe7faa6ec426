"""A rebuilt guest is itself again, a destroyed one is gone; or refused before the first change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.engine import rebuilding
from harness.errors import HarnessError, Invalid, Refused, Unsafe
from harness.journal import journal_of
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
    rebuild_with_backup,
    restore,
    tools,
    wait_for_backup,
)


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


@pytest.mark.parametrize("vmids", ["130", "131,130"])
def test_nothing_is_deleted_while_a_backup_runs(world: World, vmids: str) -> None:
    """Alone, or in a task that is at another VM still."""
    world.simulated.fault(kind="task-stall", task="vzdump", seconds=100.0)
    world.simulated.root().post("/nodes/hv01/vzdump", {"vmid": vmids, "storage": "local"})
    for act in (lambda: rebuild(world), lambda: destroy(world), lambda: back_up(world)):
        assert_refused(world, r"it is locked \(backup\)|vzdump of root@pam works on it|a backup runs on hv01", act)
