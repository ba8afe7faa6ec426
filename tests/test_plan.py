"""(contract, observed) -> plan: what is made, what is finished, what is only reported, and what stops everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.contract import Guest
from harness.observed import BegunClone, ObservedGuest, ObservedNode, ObservedSite, ObservedStorage
from harness.plan import Plan, Provenance, diff, parse_provenance
from harness.plan.marks import is_unfinished, notes_of_a_new_clone, without_unfinished
from harness.plan.templates import volume_bytes
from harness.pve.read import guest_of
from tests.sites import TEMPLATE, contract, guest

GIB = 1 << 30
NODE = ObservedNode("hv01", "8.4.1", "6.8.12-9-pve", 32 * GIB, "cpu", 1, 4, 8, True, "GET /nodes/hv01/status")
THIN = ObservedStorage("local-lvm", "lvmthin", frozenset({"images"}), True, False, 100 * GIB, 90 * GIB, "GET")
METRICS = guest()
LINE = "mgmt-harness: site=lab guest=metrics-vm01 template=debian-lab-12 build=lab-image-1 mode=linked"
DONE: dict[str, Any] = {
    "name": "metrics-vm01",
    "net0": "virtio=02:de:99:01:01:00,bridge=vmbr0",
    "memory": "1024",
    "cores": 2,
    "onboot": 1,
    "startup": "order=10,up=15",
    "protection": 1,
    "agent": "1",
    "tags": "mgmt-harness;observability",
    "description": LINE,
    "scsi0": "local-lvm:vm-130-disk-0,size=4G",
    "digest": "a" * 40,
}
HALF: dict[str, Any] = {"lock": "clone", "description": " qmclone temporary file"}


def template(vmid: int = 9000, **changes: Any) -> ObservedGuest:
    config = {
        "name": "debian-lab-12",
        "template": 1,
        "scsi0": "local-lvm:base-9000-disk-0,size=4G",
        "ide2": "local:iso/cloud.iso,media=cdrom,size=4M",
        "description": "factory image\nbuild: lab-image-1",
    }
    return guest_of(vmid, config | changes, "stopped", "GET")


def vm(vmid: int = 130, status: str = "running", **changes: Any) -> ObservedGuest:
    config = {key: value for key, value in (DONE | changes).items() if value is not None}
    return guest_of(vmid, config, status, "GET")


def site(*guests: ObservedGuest, **changes: Any) -> ObservedSite:
    plain = ObservedSite(NODE, guests, sees_all=True, hidden=frozenset(), storages=(THIN,), begun={})
    return replace(plain, **changes)


def plan_of(observed: ObservedSite, *guests: Guest) -> Plan:
    return diff(contract(*(guests or (METRICS,))), observed)


def test_what_is_missing_is_created() -> None:
    plan = plan_of(site(template()))
    (change,) = plan.changes
    assert (change.guest, change.vmid, change.kind) == ("metrics-vm01", 130, "create")
    assert change.detail == "linked clone of debian-lab-12 (9000): local-lvm (lvmthin) makes linked clones"
    assert change.clone is not None
    assert change.clone.notes == f"{LINE}\nmgmt-harness: unfinished"
    assert (change.clone.target, change.clone.moves, change.clone.disk_bytes) == ("local-lvm", False, 4 * GIB)
    assert not plan.empty


def test_after_provision_the_plan_is_empty() -> None:
    plan = plan_of(site(template(), vm()))
    assert plan.empty
    assert plan.differences == ()
    assert plan.warnings == ()


@pytest.mark.parametrize("status", ["stopped", "running"])
def test_what_is_half_made_is_finished(status: str) -> None:
    (change,) = plan_of(site(template(), vm(status=status, description=f"{LINE}\nmgmt-harness: unfinished"))).changes
    assert (change.kind, change.clone) == ("finish", None)


@pytest.mark.parametrize(
    ("observed", "why"),
    [
        (site(template(), guest_of(130, HALF, "stopped", "GET")), "lock"),
        (site(template(), sees_all=False, hidden=frozenset({130})), "hidden from a pool's token"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_clone_in_flight_is_ours_only_by_the_journal(observed: ObservedSite, why: str) -> None:
    upid = "UPID:hv01:000023C5:000AC603:6B027B3E:qmclone:9000:provision@pve!harness:"
    (refusal,) = plan_of(observed).refusals
    assert "in use by something this tool did not make on this machine" in refusal.reason
    (change,) = plan_of(replace(observed, begun={130: BegunClone("metrics-vm01", 130, upid)})).changes
    assert change.kind == "finish"
    assert upid in change.detail
    other = {130: BegunClone("logs-vm01", 130, upid)}
    assert plan_of(replace(observed, begun=other)).changes == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"},
            "net0 MAC should be 02:de:99:01:01:00, is bc:24:11:00:00:01",
        ),
        ({"net0": "virtio=02:de:99:01:01:00,bridge=vmbr1"}, "net0 bridge should be vmbr0, is vmbr1"),
        ({"net0": "e1000=02:de:99:01:01:00,bridge=vmbr0"}, "net0 model should be virtio, is e1000"),
        ({"net0": "virtio=02:de:99:01:01:00,bridge=vmbr0,tag=5"}, "net0 VLAN tag should be not set, is 5"),
        ({"net0": None}, "net0 should be 02:de:99:01:01:00, is not set"),
        ({"memory": "2048"}, "memory_mib should be 1024, is 2048"),
        ({"cores": 1}, "cores should be 2, is 1"),
        ({"sockets": 2}, "cores should be 2, is 4"),
        ({"onboot": 0}, "start with the node should be on, is off"),
        ({"startup": "order=11,up=15"}, "start order should be 10, is 11"),
        ({"startup": "order=10"}, "start delay should be 15, is not set"),
        ({"protection": None}, "protection should be on, is off"),
        ({"agent": None}, "guest agent should be on, is off"),
        ({"tags": "mgmt-harness"}, "tags should be mgmt-harness observability, is without observability"),
        ({"name": "renamed"}, "name should be metrics-vm01, is renamed"),
        ({"status": "stopped"}, "status should be running, is stopped"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_existing_vm_that_differs_is_reported_and_left_alone(changes: dict[str, Any], expected: str) -> None:
    status = changes.pop("status", "running") if "status" in changes else "running"
    plan = plan_of(site(template(), vm(status=status, **changes)))
    assert [str(difference) for difference in plan.differences] == [f"metrics-vm01: {expected}"]
    assert plan.empty


def test_the_case_of_a_mac_is_no_difference() -> None:
    assert plan_of(site(template(), vm(net0="virtio=02:DE:99:01:01:00,bridge=vmbr0"))).differences == ()


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        (vm(tags=None, description=None, name="win11"), "taken by a foreign VM (win11, no mark of this tool)"),
        (vm(tags=None, description=None), "taken by a foreign VM (metrics-vm01, no mark of this tool)"),
        (vm(description=LINE.replace("guest=metrics-vm01", "guest=logs-vm01")), "taken by logs-vm01 of site lab"),
        (vm(description=LINE.replace("site=lab", "site=dvnt")), "taken by metrics-vm01 of site dvnt"),
        (vm(description="", name="mine"), "taken by mine, which carries our tag but no provenance line"),
        (vm(template=1), "taken by a template (metrics-vm01)"),
        (vm(131, description=""), "a VM named metrics-vm01 exists with the VMID 131 instead of 130"),
    ],
)
def test_what_is_not_ours_stops_everything(taken: ObservedGuest, words: str) -> None:
    plan = plan_of(site(template(), taken), METRICS)
    (refusal,) = plan.refusals
    assert words in refusal.reason
    assert "inventory/lab/host_vars/x.yml:3" in refusal.do
    assert not plan.empty


def test_a_refusal_does_not_hide_what_else_would_be_done() -> None:
    plan = plan_of(site(template(), vm(tags=None, description=None)), METRICS, guest("logs-vm01", 1))
    assert [change.guest for change in plan.changes] == ["logs-vm01"]
    assert len(plan.refusals) == 1


def test_only_the_named_guests_are_judged() -> None:
    both = contract(METRICS, guest("logs-vm01", 1))
    plan = diff(both, site(template(), vm(tags=None, description=None)), {"logs-vm01"})
    assert [change.guest for change in plan.changes] == ["logs-vm01"]
    assert plan.refusals == ()


@pytest.mark.parametrize(
    ("observed", "words"),
    [
        (site(), "there is no template debian-lab-12 (9000) on the hypervisor"),
        (site(sees_all=False), "that this token may see (it must be in the pool)"),
        (site(template(9001)), "VM 9001 has the name, but not the declared VMID"),
        (site(template(template=0)), "VM 9000 is named debian-lab-12 but is not a template"),
        (
            site(template(scsi0="local:9000/base-9000-disk-0.qcow2,size=4G")),
            "has its disks on local, declared is local-lvm",
        ),
        (site(template(), storages=()), "the storage local-lvm of template debian-lab-12 is not there"),
        (site(template(), storages=(replace(THIN, enabled=False),)), "is disabled"),
        (site(template(), storages=(replace(THIN, type="nfs", shared=True),)), "which is not local storage (nfs)"),
        (site(template(), storages=(replace(THIN, shared=True),)), "which is not local storage (lvmthin)"),
        (
            site(template(), storages=(replace(THIN, available_bytes=0),)),
            "0.0 GiB free, the new clones need 0.2 GiB: it is full",
        ),
        (site(template(), node=replace(NODE, memory_bytes=GIB // 2)), "need 1024 MiB of memory, the node has 512 MiB"),
    ],
)
def test_what_cannot_end_well_is_not_begun(observed: ObservedSite, words: str) -> None:
    (refusal,) = plan_of(observed).refusals
    assert words in refusal.reason
    assert refusal.do


def test_two_templates_of_one_name_are_ambiguous() -> None:
    by_name = replace(TEMPLATE, vmid=None)
    plan = diff(contract(METRICS, template=by_name), site(template(9000), template(9001)))
    assert "is ambiguous: VMs 9000, 9001" in plan.refusals[0].reason
    (change,) = diff(contract(METRICS, template=by_name), site(template(9001))).changes
    assert change.clone is not None
    assert change.clone.template_vmid == 9001


def test_ten_guests_without_their_template_are_one_refusal() -> None:
    assert len(plan_of(site(), *(guest(f"g{number}", number) for number in range(10))).refusals) == 1


DIR = replace(THIN, name="local", type="dir")
ON_DIR = template(scsi0="local:9000/base-9000-disk-0.qcow2,size=4G")
RAW = template(scsi0="local:9000/base-9000-disk-0.raw,size=4G")


@pytest.mark.parametrize(
    ("wanted", "there", "storages", "on", "expected"),
    [
        (guest(), template(), (THIN,), "local-lvm", ("linked", "local-lvm", False)),
        (guest(clone="full"), template(), (THIN,), "local-lvm", ("full", "local-lvm", False)),
        (guest(storage="local-lvm"), template(), (THIN,), "local-lvm", ("linked", "local-lvm", False)),
        (guest(storage="local"), template(), (THIN, DIR), "local-lvm", ("full", "local", True)),
        (guest(), template(), (replace(THIN, type="zfspool"),), "local-lvm", ("linked", "local-lvm", False)),
        (guest(), template(), (replace(THIN, type="lvm"),), "local-lvm", ("full", "local-lvm", False)),
        (guest(), ON_DIR, (DIR,), "local", ("linked", "local", False)),
        (guest(), RAW, (DIR,), "local", ("full", "local", False)),
    ],
    ids=["thin", "declared full", "same storage", "other storage", "zfs", "thick lvm", "qcow2", "raw"],
)
def test_clones_are_linked_where_the_storage_can(
    wanted: Guest,
    there: ObservedGuest,
    storages: tuple[ObservedStorage, ...],
    on: str,
    expected: tuple[str, str, bool],
) -> None:
    plan = diff(contract(wanted, template=replace(TEMPLATE, storage=on)), site(there, storages=storages))
    (change,) = plan.changes
    assert change.clone is not None
    assert (change.clone.mode, change.clone.target, change.clone.moves) == expected
    assert f"mode={expected[0]}" in change.clone.notes


def test_a_linked_clone_that_cannot_be_is_refused() -> None:
    plan = plan_of(site(template(), storages=(replace(THIN, type="lvm"),)), guest(clone="linked"))
    assert "declared as a linked clone, but local-lvm (lvm) cannot make linked clones" in plan.refusals[0].reason


def test_full_clones_need_their_whole_size_together() -> None:
    full = [guest(f"g{number}", number, clone="full") for number in range(3)]
    tight = (replace(THIN, available_bytes=11 * GIB),)
    assert "need 12.0 GiB" in plan_of(site(template(), storages=tight), *full).refusals[0].reason
    assert plan_of(site(template(), storages=tight), *full[:2]).refusals == ()


def test_linked_clones_that_may_outgrow_their_storage_are_a_warning() -> None:
    plan = plan_of(site(template(), storages=(replace(THIN, available_bytes=3 * GIB),)))
    assert plan.refusals == ()
    assert plan.warnings == ("the storage local-lvm has 3.0 GiB free, the new clones need up to 4.0 GiB as they grow",)


def test_memory_that_leaves_too_little_for_the_host_is_a_warning() -> None:
    plan = plan_of(site(template(), node=replace(NODE, memory_bytes=2 * GIB)))
    assert plan.refusals == ()
    assert "leaves less than the 2048 MiB kept for the host" in plan.warnings[0]


def test_memory_is_no_question_when_nothing_is_made() -> None:
    assert plan_of(site(template(), vm(), node=replace(NODE, memory_bytes=GIB // 2))).empty


def test_a_template_without_its_build_mark_is_said_and_noted() -> None:
    plan = plan_of(site(template(description="by hand")))
    assert "does not carry the declared build mark" in plan.warnings[0]
    assert plan.changes[0].clone is not None
    assert " build=unmarked " in plan.changes[0].clone.notes


@pytest.mark.parametrize("build", ["lab-image-1", "fedora 43, made by hand", "it's"])
def test_provenance_survives_its_line(build: str) -> None:
    written = Provenance("lab", "metrics-vm01", "fedora-server-43-1.6", build, "linked")
    assert parse_provenance(f"a note of the operator\n{written.render()}\nanother") == written


@pytest.mark.parametrize(
    "notes", ["", "mgmt-harness: site=lab", "site=lab guest=x template=y build=z mode=full", 'mgmt-harness: site="']
)
def test_what_is_no_provenance_line(notes: str) -> None:
    assert parse_provenance(notes) is None


def test_the_unfinished_mark_comes_and_goes_and_leaves_the_rest() -> None:
    notes = notes_of_a_new_clone(Provenance("lab", "a", "t", "b", "full"))
    assert is_unfinished(notes)
    assert not is_unfinished(without_unfinished(f"mine\n{notes}"))
    assert without_unfinished(f"mine\n{notes}").startswith("mine\nmgmt-harness: site=lab")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local-lvm:x,size=4G", 4 * GIB),
        ("x,size=160M,ssd=1", 160 << 20),
        ("x,size=512", 512),
        ("x", 0),
        ("x,size=2T", 2 << 40),
    ],
)
def test_the_size_of_a_volume(text: str, expected: int) -> None:
    assert volume_bytes(text) == expected
