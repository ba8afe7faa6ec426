"""Strangers, waiting changes, marks and carriers, as tables over values."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from ipaddress import IPv4Address
from typing import Any

import pytest

from harness.contract import AllowedStranger, VmId
from harness.observed import ObservedGuest, ObservedStorage
from harness.plan import Provenance
from harness.verify import derived, marks
from tests import sites

TODAY = date(2026, 11, 22)
CONTRACT = sites.contract(sites.guest(), sites.guest("logs-vm01", 1))
NOTES = Provenance("lab", "metrics-vm01", "debian-lab-12", "lab-image-1", "linked").render()


def vm(vmid: int, name: str | None, **config: Any) -> ObservedGuest:
    fields: dict[str, Any] = {
        key: config.pop(key) for key in ("tags", "description", "template", "lock") if key in config
    }
    whole: dict[str, Any] = {"tags": frozenset(), "description": "", "template": False, "lock": None, **fields}
    return ObservedGuest(
        vmid=vmid,
        name=name,
        status="running",
        nics={},
        memory_mib=512,
        cores=1,
        onboot=True,
        start_order=1,
        start_delay_s=None,
        protection=True,
        agent=True,
        disks={key: value for key, value in config.items() if key[:-1] in ("scsi", "ide", "virtio")},
        digest="",
        config=config,
        source=f"GET {vmid}",
        **whole,
    )


def strangers(*vms: ObservedGuest, containers: tuple[int, ...] = (), until: date | None = None) -> list[str]:
    exceptions = (AllowedStranger(VmId(900), "a bench", until, sites.HERE),) if until else ()
    return list(derived.find_strangers(replace(CONTRACT, exceptions=exceptions), vms, containers, TODAY))


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        (vm(130, "metrics-vm01"), []),
        (vm(900, "stranger"), ["VM 900 stranger"]),
        (vm(130, "intruder"), ["VM 130 intruder"]),
        (vm(130, "renamed", description=NOTES), []),
        (vm(130, None, lock="clone"), []),
        (vm(901, None, lock="clone"), ["VM 901 (no name)"]),
        (vm(9000, "debian-lab-12", template=True), []),
        (vm(9001, "debian-lab-12", template=True), ["VM 9001 debian-lab-12"]),
        (vm(9000, "debian-lab-12"), ["VM 9000 debian-lab-12"]),
        (vm(9002, "other-template", template=True), ["VM 9002 other-template"]),
    ],
)
def test_what_nobody_declared_is_a_stranger(seen: ObservedGuest, found: list[str]) -> None:
    assert strangers(seen) == found


def test_containers_are_strangers_too() -> None:
    assert strangers(containers=(200,)) == ["container 200"]


@pytest.mark.parametrize(("until", "found"), [(TODAY, []), (date(2026, 11, 21), ["VM 900 stranger"])])
def test_an_exception_covers_its_vm_until_its_last_day(until: date, found: list[str]) -> None:
    assert strangers(vm(900, "stranger"), until=until) == found


def test_an_ended_exception_is_named_while_its_vm_is_there() -> None:
    ended = (AllowedStranger(VmId(900), "a bench", date(2026, 11, 1), sites.HERE),)
    contract = replace(CONTRACT, exceptions=ended)
    (said,) = derived.find_ended_exceptions(contract, [vm(900, "stranger")], TODAY)
    assert said.startswith("VM 900 until 2026-11-01 (a bench; ")
    assert list(derived.find_ended_exceptions(contract, [], TODAY)) == []


OWN = "virtio=02:de:99:01:01:00,bridge=vmbr0"
OTHER = "virtio=BC:24:11:00:00:01,bridge=vmbr0"


@pytest.mark.parametrize(
    ("rows", "waiting"),
    [
        ({"net0": {"key": "net0", "value": OWN}}, {}),
        ({"net0": {"key": "net0", "value": OWN, "pending": OTHER}}, {"net0": "bc:24:11:00:00:01"}),
        ({"net0": {"key": "net0", "value": OTHER, "pending": OWN}}, {}),
        ({"net0": {"key": "net0", "value": OWN, "delete": 1}}, {"net0": "removed"}),
        ({"net1": {"key": "net1", "pending": OTHER}}, {"net1": "bc:24:11:00:00:01"}),
        ({"memory": {"key": "memory", "value": "512", "pending": "1024"}}, {}),
    ],
)
def test_only_macs_that_will_change_are_waiting(rows: dict[str, Any], waiting: dict[str, str]) -> None:
    assert derived.waiting_macs(rows, sites.guest()) == waiting


def test_a_responsibility_is_carried_planned_or_in_nobodys_hands() -> None:
    contract = replace(CONTRACT, planned={"out-of-band": "no card bought yet"})
    assert derived.carriers_of(contract, "metrics") == ("metrics-vm01", "logs-vm01")
    assert derived.carriers_of(contract, "out-of-band") == ("planned: no card bought yet",)
    assert derived.carriers_of(contract, "alerting") == ()


def test_the_tenant_hypervisor_goes_by_name_full_name_and_address() -> None:
    assert derived.tenant_words(CONTRACT) == ()
    tenant = replace(CONTRACT, tenant_hypervisor="hv02", tenant_address=IPv4Address("198.18.99.22"))
    assert derived.tenant_words(tenant) == ("hv02", "hv02.lab.deevnet.net", "198.18.99.22")


@pytest.mark.parametrize(
    ("kind", "shared", "local"),
    [
        ("dir", False, True),
        ("lvmthin", False, True),
        ("dir", True, False),
        ("nfs", True, False),
        ("pbs", False, False),
    ],
)
def test_a_storage_is_local_by_type_and_not_shared(kind: str, shared: bool, local: bool) -> None:
    assert marks.is_local(ObservedStorage("s", kind, frozenset(), True, shared, None, None, "GET")) is local


def test_cloud_init_shows_in_keys_and_in_its_drive() -> None:
    config = {"ciuser": "a", "sshkeys": "x", "ide2": "local:cloudinit,media=cdrom", "ipconfig0": "ip=dhcp", "net0": OWN}
    assert marks.cloud_init_keys(vm(130, "x", **config)) == ("ciuser", "sshkeys", "ide2")
    assert marks.fixed_addresses(vm(130, "x", **config)) == ()
    assert marks.fixed_addresses(vm(130, "x", ipconfig0="ip=10.0.0.1/24,gw=10.0.0.2")) == (
        "ipconfig0: ip=10.0.0.1/24,gw=10.0.0.2",
    )


@pytest.mark.parametrize(
    ("seen", "marked"),
    [
        (vm(130, "x", tags=frozenset({"terraform"})), True),
        (vm(130, "x", description="Managed by Terraform."), True),
        (vm(130, "x", description="OpenTofu"), True),
        (vm(130, "x", description=NOTES, tags=frozenset({"mgmt-harness"})), False),
    ],
)
def test_terraform_leaves_its_name(seen: ObservedGuest, marked: bool) -> None:
    assert bool(marks.terraform_marks([seen], [])) is marked
    assert marks.terraform_marks([], [{"poolid": "a", "comment": "by terraform"}, {"poolid": "b"}]) == ("pool a",)


def test_a_tenant_is_known_by_tag_or_pool() -> None:
    seen = [vm(900, "app", tags=frozenset({"tenant-1"})), vm(130, "metrics-vm01", tags=frozenset({"observability"}))]
    assert marks.tenant_marks(seen, [{"poolid": "tenant_2"}, {"poolid": "mgmt"}]) == ("VM 900 app", "pool tenant_2")


@pytest.mark.parametrize(
    ("config", "virtio"),
    [
        ({"scsi0": "local-lvm:x", "scsihw": "virtio-scsi-single"}, True),
        ({"scsi0": "local-lvm:x", "scsihw": "lsi"}, False),
        ({"virtio0": "local-lvm:x"}, True),
        ({"ide0": "local-lvm:x", "scsihw": "virtio-scsi-pci"}, False),
    ],
)
def test_a_disk_is_on_virtio_by_bus_or_controller(config: dict[str, str], virtio: bool) -> None:
    assert marks.has_virtio_disk(vm(9000, "t", **config)) is virtio


def test_an_empty_drive_is_on_no_storage() -> None:
    seen = vm(9000, "t", scsi0="local-lvm:base-9000-disk-0,size=4G", ide2="none,media=cdrom")
    assert marks.disk_storages(seen) == {"local-lvm"}
