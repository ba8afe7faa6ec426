"""A backup keeps what was on the disk and gives it back; what is there besides is kept, or lost, as on a real node."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.wait import wait_until
from tests.lab.pve.served import NODE, Node

VM = f"{NODE}/qemu/130"
MAC = "02:DE:99:01:01:01"


def _back_up(node: Node, vmid: int = 130, **more: Any) -> str:
    """The volume ID of a fresh backup on `local`."""
    assert node.run("POST", f"{NODE}/vzdump", {"vmid": vmid, "compress": "zstd", "storage": "local", **more}) == "OK"
    return str(_backups(node, vmid)[-1]["volid"])


def _backups(node: Node, vmid: int = 130, *, user: str = "root@pam") -> list[dict[str, Any]]:
    listed = node.read(f"{NODE}/storage/local/content", {"content": "backup", "vmid": vmid}, user=user)
    return sorted(listed, key=lambda item: item["volid"])


def _restore(node: Node, volid: str, vmid: int = 130, **more: Any) -> str:
    return node.run("POST", f"{NODE}/qemu", {"vmid": vmid, "archive": volid, **more})


def _log(node: Node, kind: str) -> list[str]:
    """The log of the newest task of that kind."""
    upid = node.read(f"{NODE}/tasks", {"typefilter": kind})[0]["upid"]
    return [line["t"] for line in node.read(f"{NODE}/tasks/{upid}/log", {"limit": 0})]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _config(node: Node, vmid: int = 130) -> dict[str, Any]:
    return {key: value for key, value in node.read(f"{NODE}/qemu/{vmid}/config").items() if key != "digest"}


def test_a_restore_in_place_brings_the_old_files_and_the_old_identity_back(node_with_disks: Node) -> None:
    node = node_with_disks
    node.ask("PUT", f"{VM}/config", {"net0": f"virtio={MAC},bridge=vmbr0", "onboot": 1, "description": "a: 100%\nü"})
    node.ask("POST", "/cluster/backup", {"id": "nightly", "schedule": "02:00", "storage": "local", "vmid": "130"})
    before, volid = _config(node), _back_up(node)
    (node.disk(130) / "notes").write_text("spoilt")
    (node.disk(130) / "rubbish").write_text("new")
    node.ask("PUT", f"{VM}/config", {"onboot": 0, "description": "else", "net0": "virtio,bridge=vmbr0"})
    assert _restore(node, volid, force=1) == "OK"
    after = _config(node)
    assert after.pop("vmgenid") != before.pop("vmgenid")
    assert after == before
    assert _names(node.disk(130)) == ["notes"]
    assert (node.disk(130) / "notes").read_text() == "as it was"
    assert 130 in [member["vmid"] for member in node.read("/pools/mgmt")["members"]]
    assert node.read("/cluster/backup/nightly")["vmid"] == "130"


def test_a_backup_keeps_owners_device_nodes_links_and_deletions(node_with_disks: Node) -> None:
    disk = node_with_disks.disk(130)
    (disk / "etc").mkdir()
    (disk / "etc/owned").write_text("x")
    os.chown(disk / "etc/owned", 1000, 1000)
    (disk / "etc/link").symlink_to("owned")
    os.link(disk / "etc/owned", disk / "etc/twin")
    os.mknod(disk / "etc/deleted", 0o020000, os.makedev(0, 0))  # how overlayfs says that a file below is gone
    os.setxattr(disk / "etc", "trusted.overlay.opaque", b"y")
    volid = _back_up(node_with_disks)
    assert _restore(node_with_disks, volid, 175, storage="local-lvm") == "OK"
    etc = node_with_disks.disk(175) / "etc"
    assert ((etc / "owned").stat().st_uid, (etc / "twin").stat().st_nlink) == (1000, 2)
    assert str((etc / "link").readlink()) == "owned"
    assert (etc / "deleted").stat().st_rdev == 0
    assert os.getxattr(etc, "trusted.overlay.opaque") == b"y"


def test_a_restored_disk_stands_on_its_own_when_template_and_original_are_gone(node_with_disks: Node) -> None:
    node = node_with_disks
    (node.disk(9000) / "of-the-template").write_text("t")
    volid = _back_up(node)
    for vmid in (130, 9000):
        assert node.run("DELETE", f"{NODE}/qemu/{vmid}") == "OK"
    assert _names(node.folder / "guests") == ["200"]
    assert _restore(node, volid) == "OK"
    layers = (node.folder / "guests/130/layers").read_text().split(":")
    assert layers[-2:] == ["/image/content", "/image/rootfs"]
    assert [_names(Path(layer)) for layer in layers[:-2]] == [["of-the-template"]]


def test_clones_live_on_when_their_template_is_deleted(node_with_disks: Node) -> None:
    """A thin pool's snapshots keep no reference that PVE could see."""
    node = node_with_disks
    (node.disk(9000) / "of-the-template").write_text("t")
    assert node.run("DELETE", f"{NODE}/qemu/9000") == "OK"
    kept = (node.folder / "guests/130/layers").read_text().split(":")[0]
    assert _names(Path(kept)) == ["of-the-template"]
    assert node.run("DELETE", VM) == "OK"
    assert _names(node.folder / "guests") == ["200"]


def test_another_vmid_gets_the_same_macs_unless_it_shall_be_unique(node: Node) -> None:
    before, volid = _config(node, 200), _back_up(node, 200)
    assert _restore(node, volid, 175) == "OK"
    assert _restore(node, volid, 176, unique=1, name="other", pool="mgmt") == "OK"
    same, other = _config(node, 175), _config(node, 176)
    assert [same[key] == before[key] for key in ("net0", "smbios1", "vmgenid")] == [True, True, False]
    assert [other[key] == before[key] for key in ("net0", "smbios1", "vmgenid")] == [False, False, False]
    assert (other["name"], other["scsi0"]) == ("other", "local-lvm:vm-176-disk-0,size=1G")
    assert 176 in [member["vmid"] for member in node.read("/pools/mgmt")["members"]]


def test_notes_protection_and_retention_of_archives(node: Node) -> None:
    first = _back_up(node, 200, **{"notes-template": "{{guestname}} {{vmid}} {{node}}\\nend", "protected": 1})
    second, third = _back_up(node, 200), _back_up(node, 200)
    assert [item["volid"] for item in _backups(node, 200)] == [first, second, third]
    listed = _backups(node, 200)[0]
    assert (listed["notes"], listed["protected"], listed["format"]) == ("alone 200 hv01\nend", 1, "vma.zst")
    one = f"{NODE}/storage/local/content/{first}"
    assert listed["size"] == node.read(one)["size"] > 0
    assert node.run("DELETE", one) == f"cannot remove protected volume '{first.partition(':')[2]}' on 'local'"
    retention = {"prune-backups": "keep-last=1"}
    marks = {item["volid"]: item["mark"] for item in node.read(f"{NODE}/storage/local/prunebackups", retention)}
    assert marks == {first: "protected", second: "remove", third: "keep"}
    assert node.run("DELETE", f"{NODE}/storage/local/prunebackups", {**retention, "vmid": 200}) == "OK"
    assert [item["volid"] for item in _backups(node, 200)] == [first, third]
    assert node.ask("PUT", one, {"protected": 0, "notes": "mine"}).status == 200
    assert (node.read(one)["notes"], node.read(one)["protected"]) == ("mine", 0)
    path = node.read(one)["path"]
    assert node.run("DELETE", one) == "OK"
    assert not Path(path).exists()


def test_a_vm_is_locked_while_it_is_backed_up_and_backups_wait_for_each_other(node: Node) -> None:
    node.control(op="fault", kind="task-stall", task="vzdump", times=1, seconds=30)
    upid = node.ask("POST", f"{NODE}/vzdump", {"vmid": 200, "storage": "local"}).data
    locked = wait_until(lambda: (_config(node, 200).get("lock"), ""), deadline_s=5)
    assert locked.value == "backup"
    second = node.ask("POST", f"{NODE}/vzdump", {"vmid": 9000, "storage": "local"}).data
    assert node.run("DELETE", f"{NODE}/qemu/200") == "VM is locked (backup)"
    assert node.run("POST", f"{NODE}/qemu/200/status/start") == "VM is locked (backup)"
    assert node.ask("POST", f"{NODE}/qemu", {"vmid": 200, "archive": "x"}).reason == "can't find file 'x'"
    assert (node.ended(upid), node.ended(second)) == ("OK", "OK")
    waited = [line["t"] for line in node.read(f"{NODE}/tasks/{second}/log")][:2]
    assert waited == ["INFO: trying to get global lock - waiting...", "INFO: got global lock"]
    assert "lock" not in _config(node, 200)


def test_a_stopped_backup_leaves_nothing_a_killed_one_its_lock(node: Node) -> None:
    node.control(op="fault", kind="task-stall", task="vzdump", times=2, seconds=60)
    for end in ("stop", "kill"):
        upid = node.ask("POST", f"{NODE}/vzdump", {"vmid": 200, "storage": "local"}).data
        assert wait_until(lambda: (_config(node, 200).get("lock"), ""), deadline_s=5).value == "backup"
        if end == "stop":
            node.ask("DELETE", f"{NODE}/tasks/{upid}")
            assert node.ended(upid) == "unexpected status"
            assert "lock" not in _config(node, 200)
        else:
            node.stop(signal.SIGKILL)
            node.start()
            assert _config(node, 200)["lock"] == "backup"
    assert _backups(node, 200) == []


@pytest.mark.parametrize(
    ("sent", "end", "said"),
    [
        ({"vmid": 999}, "job errors", "ERROR: Backup of VM 999 failed - unable to find VM '999'"),
        ({"vmid": "200,999"}, "job errors", "INFO: Finished Backup of VM 200 (00:00:00)"),
        ({"vmid": 200, "storage": "local-lvm"}, "could not get storage information for 'local-lvm': can't use", None),
    ],
)
def test_a_backup_that_fails_says_why(node: Node, sent: dict[str, Any], end: str, said: str | None) -> None:
    assert node.run("POST", f"{NODE}/vzdump", {"storage": "local"} | sent).startswith(end)
    assert said is None or said in _log(node, "vzdump")


def test_a_full_storage_fails_the_backup_and_leaves_no_part_of_it(node: Node) -> None:
    node.control(op="fill-storage", storage="local", available_bytes=10)
    assert node.run("POST", f"{NODE}/vzdump", {"vmid": 200, "storage": "local"}) == "job errors"
    assert "ERROR: Backup of VM 200 failed - vma_queue_write: write error - Broken pipe" in _log(node, "vzdump")
    assert _backups(node, 200) == []
    assert _names(node.folder / "vz/dump") == []
    assert "lock" not in _config(node, 200)


def test_a_restore_is_refused_over_what_it_may_not_replace(node: Node) -> None:
    volid = _back_up(node, 200)
    reply = node.ask("POST", f"{NODE}/qemu", {"vmid": 200, "archive": volid})
    assert reply.reason == "unable to restore VM 200 - VM 200 already exists on node 'hv01'"
    node.run("POST", f"{NODE}/qemu/200/status/start")
    assert _restore(node, volid, 200, force=1) == "unable to restore VM 200 - vm is running"
    node.run("POST", f"{NODE}/qemu/200/status/stop")
    node.ask("PUT", f"{NODE}/qemu/200/config", {"protection": 1})
    assert _restore(node, volid, 200, force=1) == "unable to restore VM 200 - - protection mode enabled"
    assert "lock" not in _config(node, 200)
    assert node.ask("POST", f"{NODE}/qemu", {"vmid": 201, "archive": volid, "scsi0": "local:1"}).status == 400


def test_a_restore_without_room_has_already_lost_the_old_disk(node_with_disks: Node) -> None:
    """PVE frees the old disks before the data comes back."""
    node, volid = node_with_disks, _back_up(node_with_disks)
    node.control(op="fill-storage", storage="local-lvm", available_bytes=4096)
    end = _restore(node, volid, force=1)
    assert end.startswith("command 'set -o pipefail && zstd -q -d -c ")
    assert end.endswith("failed: vma: restore failed - blk_pwrite to  failed (-28)")
    config = _config(node)
    assert ("lock" in config, config["scsi0"]) == (False, "local-lvm:vm-130-disk-0,size=4G")
    assert not node.disk(130).exists()
    assert "state is NOT cleaned up" in _log(node, "qmrestore")[-2]
    node.control(op="fill-storage", storage="local-lvm", available_bytes=None)
    assert _restore(node, volid, force=1) == "OK"
    assert (node.disk(130) / "notes").read_text() == "as it was"


def test_a_damaged_archive_fails_as_vma_does(node_with_disks: Node) -> None:
    node = node_with_disks
    (node.disk(130) / "big").write_bytes(os.urandom(300_000))
    volid = _back_up(node)
    path = Path(node.read(f"{NODE}/storage/local/content/{volid}")["path"])
    with path.open("r+b") as archive:
        archive.truncate(path.stat().st_size // 2)
    assert _restore(node, volid, 175).endswith("failed: vma: restore failed - short vma extent")
    assert _config(node, 175) == {}


def test_an_excluded_disk_is_kept_unused_by_a_restore_in_place(node: Node) -> None:
    node.ask("PUT", f"{NODE}/qemu/200/config", {"scsi1": "local-lvm:1,backup=0"})
    volid = _back_up(node, 200)
    assert _restore(node, volid, 200, force=1) == "OK"
    config = _config(node, 200)
    assert ("scsi1" in config, config["unused0"]) == (False, "local-lvm:vm-200-disk-1")
    assert config["description"] == "scsi1: local-lvm:vm-200-disk-1,backup=0,size=1G"


def test_a_stop_mode_backup_restarts_the_guest(scripted_node: Node) -> None:
    assert scripted_node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 131}) == "OK"
    scripted_node.run("POST", f"{NODE}/qemu/131/status/start")
    before = scripted_node.read(f"{NODE}/qemu/131/status/current")["pid"]
    _back_up(scripted_node, 131, mode="stop")
    after = scripted_node.read(f"{NODE}/qemu/131/status/current")
    assert (after["status"], after["pid"] == before) == ("running", False)
    assert "INFO: stopping virtual guest" in _log(scripted_node, "vzdump")


def test_who_may_back_up_and_restore(node: Node) -> None:
    """The maker may with VMs of its pool; a VM that has left it takes its backups out of the maker's sight."""
    assert node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130, "name": "c130", "pool": "mgmt"}) == "OK"
    reply = node.ask("POST", f"{NODE}/vzdump", {"vmid": 130, "storage": "local"}, user="maker")
    assert node.ended(reply.data) == "OK"
    refused = node.ask("POST", f"{NODE}/vzdump", {"vmid": 200, "storage": "local"}, user="maker")
    assert node.ended(refused.data) == "403 Permission check failed (/vms/200, VM.Backup)"
    prune = {"vmid": 130, "storage": "local", "prune-backups": "keep-last=1"}
    assert node.ask("POST", f"{NODE}/vzdump", prune, user="maker").status == 403
    assert _backups(node, user="audit") == []
    volid = str(_backups(node, user="maker")[0]["volid"])
    taken = {"archive": volid, "storage": "local-lvm"}
    assert node.ask("POST", f"{NODE}/qemu", {"vmid": 175, **taken}, user="maker").status == 403
    scratch = node.ask("POST", f"{NODE}/qemu", {"vmid": 175, "pool": "mgmt", **taken}, user="maker")
    assert node.ended(scratch.data) == "OK"
    assert node.run("DELETE", VM) == "OK"
    assert _backups(node, user="maker") == []
    again = node.ask("POST", f"{NODE}/qemu", {"vmid": 130, "pool": "mgmt", **taken}, user="maker")
    assert node.ended(again.data) == "OK"
    assert re.match(r"vzdump-qemu-130-", _names(node.folder / "vz/dump")[0])


def test_purging_takes_the_vm_out_of_backup_jobs_and_not_purging_leaves_it(node: Node) -> None:
    job = {"id": "nightly", "schedule": "02:00", "storage": "local", "vmid": "130,200"}
    node.ask("POST", "/cluster/backup", job)
    for options, left in (({}, "130,200"), ({"purge": 1}, "200")):
        assert node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130}) == "OK"
        assert node.run("DELETE", VM, options) == "OK"
        assert node.read("/cluster/backup/nightly")["vmid"] == left
    assert node.run("DELETE", f"{NODE}/qemu/200", {"purge": 1}) == "OK"
    assert node.read("/cluster/backup") == []
