"""A small contract with every shape of reservation and record that a router has to serve."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from harness.contract import (
    Api,
    Contract,
    Declared,
    Guest,
    Hardware,
    Hypervisor,
    Mac,
    Nic,
    Record,
    Reservation,
    Router,
    Segment,
    Ssh,
    VmId,
)

HERE = Declared(Path("inventory/lab/hosts.yml"), 1)
DOMAIN = "lab.deevnet.net"
MANAGEMENT = Segment("management", 99, IPv4Network("198.18.99.0/24"), IPv4Address("198.18.99.1"), None)
TRUSTED = Segment(
    "trusted",
    10,
    IPv4Network("198.18.10.0/25"),
    IPv4Address("198.18.10.1"),
    (IPv4Address("198.18.10.100"), IPv4Address("198.18.10.120")),
)
STORAGE = Segment("storage", 20, IPv4Network("198.18.20.0/23"), IPv4Address("198.18.20.1"), None)
SSH = Ssh("root", 22, Path("/keys/id"), Path("/keys/known_hosts"))
ROUTER = Router("core-rt01", "dnsmasq", IPv4Address("198.18.99.1"), IPv4Address("198.18.99.1"), 53, SSH, HERE)

MACS = {"metrics-vm01": Mac("02:de:99:01:01:01"), "logs-vm01": Mac("02:de:99:01:02:01")}
ADDRESSES = {
    "core-rt01": "198.18.99.1",
    "hv01": "198.18.99.21",
    "hv02": "198.18.99.22",
    "metrics-vm01": "198.18.99.30",
    "logs-vm01": "198.18.99.31",
    "desk-ph01": "198.18.10.5",
}


def _guest(name: str, vmid: int) -> Guest:
    address = IPv4Interface(f"{ADDRESSES[name]}/24")
    nic = Nic("eth0", "net0", MACS[name], address, MANAGEMENT, "vmbr0", "virtio", None, HERE)
    return Guest(
        name=name,
        fqdn=f"{name}.{DOMAIN}",
        vmid=VmId(vmid),
        category="observability",
        responsibilities=("metrics",),
        template="debian-lab-12",
        clone="auto",
        storage=None,
        memory_mib=512,
        cores=1,
        nic=nic,
        cnames=(f"{name.partition('-')[0]}.{DOMAIN}",),
        start_order=10,
        start_delay_s=None,
        services=(),
        ssh=replace(SSH, user="a_autoprov", known_hosts=None),
        declared=HERE,
    )


def _hypervisor() -> Hypervisor:
    return Hypervisor(
        name="hv01",
        fqdn=f"hv01.{DOMAIN}",
        node="hv01",
        address=IPv4Address(ADDRESSES["hv01"]),
        api=Api("https://198.18.99.21:8006", Path("/ca.pem"), None, {}),
        ssh=SSH,
        pve_version="8.4.1",
        debian_release="12",
        debian_codename="bookworm",
        architecture="x86_64",
        hardware=Hardware(None, 0, 0, False, 0, None, None, None, None, None),
        host_reserve_mib=0,
        bridges=(),
        storages=(),
        pool=None,
        templates={},
        declared=HERE,
    )


def contract(folder: Path = Path("/state")) -> Contract:
    guests = (_guest("metrics-vm01", 130), _guest("logs-vm01", 131))
    reserved = [*MACS.items(), ("desk-ph01", Mac("00:11:22:33:44:55"))]
    return Contract(
        site="lab",
        domain=DOMAIN,
        status="active",
        authority="core",
        hypervisor=_hypervisor(),
        router=ROUTER,
        tenant_hypervisor="hv02",
        tenant_address=IPv4Address(ADDRESSES["hv02"]),
        segments={segment.name: segment for segment in (MANAGEMENT, TRUSTED, STORAGE)},
        guests=guests,
        reservations=tuple(Reservation(mac, IPv4Address(ADDRESSES[name]), name) for name, mac in reserved),
        records=(
            *(Record("A", f"{name}.{DOMAIN}", address) for name, address in ADDRESSES.items()),
            *(Record("CNAME", alias, guest.fqdn) for guest in guests for alias in guest.cnames),
            Record("CNAME", f"pve.{DOMAIN}", f"hv01.{DOMAIN}"),
        ),
        planned={},
        waivers=(),
        exceptions=(),
        guest_deadline_s=90,
        known_hosts=(Path("/keys/known_hosts"), folder / "known_hosts"),
        state_dir=folder,
    )
