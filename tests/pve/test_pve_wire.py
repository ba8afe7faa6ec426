"""PVE's strings become values and go back as PVE stores them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from harness.contract import Declared, Mac, Nic, Segment
from harness.observed import ObservedNic
from harness.pve import wire


def nic(*, tag: int | None = None) -> Nic:
    segment = Segment("management", 99, IPv4Network("10.20.99.0/24"), IPv4Address("10.20.99.1"), None)
    return Nic(
        key="eth0",
        slot="net0",
        mac=Mac("02:de:20:01:01:01"),
        address=IPv4Interface("10.20.99.30/24"),
        segment=segment,
        bridge="vmbr0",
        model="virtio",
        vlan_tag=tag,
        declared=Declared(Path("host_vars/a.yml"), 1),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("virtio=BC:24:11:DC:E1:99,bridge=vmbr0", ObservedNic("net0", "virtio", "BC:24:11:DC:E1:99", "vmbr0", None)),
        (
            "virtio=02:de:01:02:03:0b,bridge=vmbr0,firewall=0,link_down=1,mtu=1400,queues=2,rate=10.5,tag=10",
            ObservedNic("net0", "virtio", "02:de:01:02:03:0b", "vmbr0", 10),
        ),
        (
            "model=e1000,macaddr=02:de:01:02:03:0b,bridge=vmbr1",
            ObservedNic("net0", "e1000", "02:de:01:02:03:0b", "vmbr1", None),
        ),
        ("virtio=02:DE:01:02:03:04", ObservedNic("net0", "virtio", "02:DE:01:02:03:04", None, None)),
    ],
)
def test_reads_a_nic(text: str, expected: ObservedNic) -> None:
    assert wire.parse_nic("net0", text) == expected


@pytest.mark.parametrize(
    ("tag", "present", "expected"),
    [
        (None, "", "virtio=02:de:20:01:01:01,bridge=vmbr0"),
        (99, "virtio=BC:24:11:DC:E1:99,bridge=vmbr7", "virtio=02:de:20:01:01:01,bridge=vmbr0,tag=99"),
        (None, "e1000=BC:24:11:DC:E1:99,bridge=vmbr0,tag=5", "virtio=02:de:20:01:01:01,bridge=vmbr0"),
        (
            None,
            "virtio=BC:24:11:DC:E1:99,bridge=vmbr0,firewall=1,mtu=1400",
            "virtio=02:de:20:01:01:01,bridge=vmbr0,firewall=1,mtu=1400",
        ),
    ],
)
def test_writes_the_declared_nic_and_keeps_the_rest(tag: int | None, present: str, expected: str) -> None:
    assert wire.render_nic(nic(tag=tag), present) == expected


def test_a_written_nic_reads_back_as_declared() -> None:
    assert wire.parse_nic("net0", wire.render_nic(nic(tag=7))) == ObservedNic(
        "net0", "virtio", "02:de:20:01:01:01", "vmbr0", 7
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("order=10,up=15", (10, 15)), ("order=2", (2, None)), ("3", (3, None)), ("up=5", (None, 5)), (None, (None, None))],
)
def test_reads_the_start_order(text: str | None, expected: tuple[int | None, int | None]) -> None:
    assert wire.parse_startup(text) == expected


@pytest.mark.parametrize(("delay", "expected"), [(None, "order=10"), (0, "order=10,up=0"), (15, "order=10,up=15")])
def test_writes_the_start_order(delay: int | None, expected: str) -> None:
    assert wire.render_startup(10, delay) == expected
    assert wire.parse_startup(expected) == (10, delay)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a;b", {"a", "b"}), ("Web;lab,Db  zz", {"Web", "lab", "Db", "zz"}), (" ", set()), (None, set())],
)
def test_reads_tags(text: str | None, expected: set[str]) -> None:
    assert wire.parse_tags(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("enabled=1,fstrim_cloned_disks=1", True), ("0", False), ("", False), (None, False)],
)
def test_reads_whether_the_agent_is_on(text: str | None, expected: bool) -> None:
    assert wire.parse_agent(text) is expected


@pytest.mark.parametrize(("text", "expected"), [("2048", 2048), ("current=1024", 1024), (None, 512), (256, 256)])
def test_reads_memory(text: object, expected: int) -> None:
    assert wire.parse_memory(text) == expected


def test_disks_are_slots_with_volumes() -> None:
    config = {"scsi0": "local-lvm:vm-130-disk-0,size=4G", "scsihw": "virtio-scsi-pci", "net0": "x", "unused0": "y"}
    assert wire.parse_disks(config) == {"scsi0": "local-lvm:vm-130-disk-0,size=4G"}


def test_parameters_know_no_words_for_booleans() -> None:
    assert wire.encode({"a": True, "b": False, "c": None, "d": "x", "e": ["l", "m"]}) == {
        "a": 1,
        "b": 0,
        "d": "x",
        "e": ["l", "m"],
    }
