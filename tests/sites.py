"""A small site as values, for tests that need a contract and nothing of an inventory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from harness.contract import (
    Api,
    Bridge,
    CloneMode,
    Contract,
    Declared,
    Guest,
    Hardware,
    Hypervisor,
    Mac,
    Nic,
    Router,
    SecretRef,
    Segment,
    Ssh,
    Storage,
    Template,
    VmId,
)
from harness.drills.record import Record

HERE = Declared(Path("inventory/lab/host_vars/x.yml"), 3)
SEGMENT = Segment("management", 99, IPv4Network("198.18.99.0/24"), IPv4Address("198.18.99.1"), None)
SSH = Ssh("a_autoprov", 22, None, None)
TEMPLATE = Template(
    "debian", "debian-lab-12", VmId(9000), "local-lvm", "debian", "build: lab-image-1", "a_autoprov", HERE
)
# A drill that was killed.
CUT_OFF = Record(
    drill="reboot",
    clause="recovery.reboot",
    site="lab",
    began=datetime(2026, 11, 22, 12, tzinfo=UTC),
    result="unfinished",
    message="",
)


def nic(number: int) -> Nic:
    return Nic(
        key="eth0",
        slot="net0",
        mac=Mac(f"02:de:99:01:01:{number:02x}"),
        address=IPv4Interface(f"198.18.99.{30 + number}/24"),
        segment=SEGMENT,
        bridge="vmbr0",
        model="virtio",
        vlan_tag=None,
        declared=HERE,
    )


def guest(
    name: str = "metrics-vm01", number: int = 0, *, clone: CloneMode = "auto", storage: str | None = None
) -> Guest:
    return Guest(
        name=name,
        fqdn=f"{name}.lab.deevnet.net",
        vmid=VmId(130 + number),
        category="observability",
        responsibilities=("metrics",),
        template="debian",
        clone=clone,
        storage=storage,
        memory_mib=1024,
        cores=2,
        nic=nic(number),
        cnames=(),
        start_order=10,
        start_delay_s=15,
        services=(),
        ssh=SSH,
        declared=HERE,
    )


def api(url: str = "https://127.0.0.1:8006") -> Api:
    return Api(url, None, SecretRef("file", "fingerprint"), {})


def contract(*guests: Guest, state_dir: Path = Path("/nowhere"), template: Template = TEMPLATE) -> Contract:
    hardware = Hardware(None, 32768, 1000, True, 1000, None, None, None, None, None)
    hypervisor = Hypervisor(
        name="hv01",
        fqdn="hv01.lab.deevnet.net",
        node="hv01",
        address=IPv4Address("198.18.99.21"),
        api=api(),
        ssh=replace(SSH, user="root"),
        pve_version="8.4.1",
        debian_release="12",
        debian_codename="bookworm",
        architecture="x86_64",
        hardware=hardware,
        host_reserve_mib=2048,
        bridges=(Bridge("vmbr0", "eno1", ("management",)),),
        storages=(Storage("local-lvm", "lvmthin", frozenset({"images"})),),
        pool="mgmt",
        templates={"debian": template},
        declared=HERE,
    )
    return Contract(
        site="lab",
        domain="lab.deevnet.net",
        status="active",
        authority="core",
        hypervisor=hypervisor,
        router=Router("core-rt01", "dnsmasq", IPv4Address("198.18.99.1"), IPv4Address("198.18.99.1"), 53, None, HERE),
        tenant_hypervisor=None,
        tenant_address=None,
        segments={"management": SEGMENT},
        guests=guests,
        reservations=(),
        records=(),
        planned={},
        waivers=(),
        exceptions=(),
        guest_deadline_s=90.0,
        known_hosts=(),
        state_dir=state_dir,
    )
