"""What PVE says of backups is read as it was recorded, and what is no backup of a VM is not taken for one."""

from __future__ import annotations

import pytest

from harness.pve import backups

VOLID = "data:backup/vzdump-qemu-170-2026_11_22-05_22_49.vma.zst"
# As a node answered /vzdump/extractconfig, with a snapshot and notes of two lines added.
EXTRACTED = """#to be backed up
#100%25 mine
agent: 1
boot: order=scsi0
cores: 1
memory: 256
meta: creation-qemu=10.0.2,ctime=1795324931
name: bak
net0: virtio=02:DE:01:07:00:01,bridge=vmbr0
onboot: 1
ostype: l26
scsi0: local:170/vm-170-disk-0.qcow2,size=160M
scsi1: local:170/vm-170-disk-1.qcow2,backup=0,size=1G
tags: keep
#qmdump#map:scsi0:drive-scsi0:local:qcow2:

[before]
name: older
scsi7: local:170/vm-170-disk-7.qcow2,size=1G
"""


def test_the_configuration_inside_a_backup() -> None:
    saved = backups.parse_saved(EXTRACTED, VOLID)
    assert (saved.vm.vmid, saved.vm.name, saved.vm.onboot, saved.vm.memory_mib) == (170, "bak", True, 256)
    assert saved.vm.description == "to be backed up\n100% mine"
    assert saved.vm.nics["net0"].mac == "02:DE:01:07:00:01"
    assert sorted(saved.vm.disks) == ["scsi0", "scsi1"]
    assert saved.disks == {"scsi0"}
    assert VOLID in saved.vm.source


@pytest.mark.parametrize(
    ("volid", "vmid"),
    [
        (VOLID, 170),
        ("local:backup/vzdump-qemu-130-2026_11_22-05_23_08.vma", 130),
        ("local:backup/vzdump-lxc-130-2026_11_22-05_23_08.tar.zst", None),
        ("local:backup/vzdump-qemu-130-2026_11_22-05_23_08.vma.zst.notes", None),
        ("local:backup/mine.vma.zst", None),
        ("local:iso/vzdump-qemu-130-2026_11_22-05_23_08.vma", None),
    ],
)
def test_whose_backup_it_is(volid: str, vmid: int | None) -> None:
    assert backups.vmid_of(volid) == vmid
