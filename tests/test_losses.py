"""What a VM would lose, whether a backup makes up for it, and what a copy of it must look like: values alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.observed import ObservedGuest
from harness.plan.losses import Kept, backup_faults, data_disks, not_ours, said_age
from harness.plan.scratch import changes_for, faults_of, is_scratch_of, scratch_mac
from harness.pve.read import guest_of
from tests import sites

GUEST = sites.guest()
LINE = "mgmt-harness: site=lab guest=metrics-vm01 template=debian-lab-12 build=x mode=linked"
CONFIG = {
    "name": "metrics-vm01",
    "tags": "mgmt-harness;observability",
    "description": LINE,
    "scsi0": "local-lvm:vm-130-disk-0,size=4G",
    "ide2": "local-lvm:vm-130-cloudinit,media=cdrom",
    "net0": "virtio=02:de:99:01:01:00,bridge=vmbr0",
}


def vm(vmid: int = 130, **changes: Any) -> ObservedGuest:
    config = {key: value for key, value in (CONFIG | changes).items() if value is not None}
    return guest_of(vmid, config, "running", "a value")


TEMPLATE = vm(9000, name="debian-lab-12", template="1", description="", tags=None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"tags": None, "description": "hello"}, "is a foreign VM"),
        ({"tags": None}, "has lost the tag mgmt-harness"),
        ({"tags": None, "description": f"{LINE}\nmgmt-harness: unfinished"}, None),
        ({"description": "hello"}, "no provenance line"),
        ({"description": LINE.replace("site=lab", "site=dvnt")}, "is metrics-vm01 of site dvnt"),
        ({"description": LINE.replace("guest=metrics-vm01", "guest=logs-vm01")}, "is logs-vm01 of site lab"),
        ({"template": "1"}, "is a template"),
    ],
)
def test_whose_a_vm_is(changes: dict[str, Any], why: str | None) -> None:
    said = not_ours("lab", GUEST, vm(**changes))
    assert (said is None) if why is None else (why in str(said))


def test_only_what_a_new_clone_would_not_bring_is_data() -> None:
    full = vm(scsi1="data:vm-130-disk-1,size=8G", unused0="data:vm-130-disk-2", sata0="local:iso/x.iso,media=cdrom")
    assert sorted(data_disks(GUEST, full, TEMPLATE)) == ["scsi1", "unused0"]
    assert sorted(data_disks(replace(GUEST, ephemeral_disks=frozenset({"scsi1"})), full, TEMPLATE)) == ["unused0"]
    assert sorted(data_disks(GUEST, full, None)) == ["scsi0", "scsi1", "unused0"]


GOOD = Kept("local:backup/x", 3600.0, 1000, vm(), frozenset({"scsi0"}))


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (GOOD, None),
        (None, "there is no backup of it"),
        (replace(GOOD, age_s=7200.0), "is 2 h old, and 2 h is the limit"),
        (replace(GOOD, size_bytes=0), "is empty"),
        (replace(GOOD, disks=frozenset()), "leaves out scsi0"),
        (replace(GOOD, vm=vm(description="hello")), "is of another VM"),
    ],
)
def test_whether_a_backup_makes_up_for_it(kept: Kept | None, why: str | None) -> None:
    faults = list(backup_faults("lab", GUEST, vm(), kept, 7000.0))
    assert (faults == []) if why is None else any(why in fault for fault in faults)


@pytest.mark.parametrize(
    ("seconds", "said"), [(30.0, "0 min"), (1800.0, "30 min"), (26 * 3600.0, "26 h"), (49 * 3600.0, "2 days")]
)
def test_an_age_in_words(seconds: float, said: str) -> None:
    assert said_age(seconds) == said


def copy(**changes: Any) -> ObservedGuest:
    nics = {"net0": f"virtio={scratch_mac(GUEST.nic.mac)},bridge=vmbr0,link_down=1"}
    made = changes_for("lab", GUEST, "local:backup/x", nics)
    return vm(199, **(made | {"onboot": "0"} | changes))


def test_a_copy_as_it_was_asked_for_may_be_started() -> None:
    assert is_scratch_of("lab", copy())
    assert list(faults_of("lab", GUEST, copy())) == []
    assert scratch_mac("02:de:99:01:01:00") == "06:de:99:01:01:00"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"onboot": "1"}, "would start with the node"),
        ({"net0": "virtio=06:de:99:01:01:00,bridge=vmbr0"}, "net0 is plugged in"),
        ({"net0": "virtio=02:DE:99:01:01:00,bridge=vmbr0,link_down=1"}, "net0 has the guest's own MAC"),
        ({"net1": "virtio=06:de:99:01:01:01,bridge=vmbr0"}, "net1 is plugged in"),
        ({"tags": "mgmt-harness"}, "does not carry the mark of a scratch VM"),
        ({"description": LINE}, "does not carry the mark of a scratch VM"),
    ],
)
def test_any_other_copy_is_not_started(changes: dict[str, Any], why: str) -> None:
    assert any(why in fault for fault in faults_of("lab", GUEST, copy(**changes)))


def test_a_copy_of_another_site_is_not_ours() -> None:
    assert not is_scratch_of("dvnt", copy())
