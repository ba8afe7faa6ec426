"""A hypervisor that is as it should be, in its own words; each test changes what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

from harness.contract import Contract, Hypervisor, Mac, Record, Reservation
from harness.preflight.model import Finding
from harness.routers import ObservedRouter
from harness.verify.batch import Answers
from harness.verify.host_facts import HostFacts
from tests import sites
from tests.verify.answers import LSBLK, LSCPU, NICS, OS_RELEASE, answers

HARDWARE = {"product": "OptiPlex 7050", "cpu_model": "i7-6700T", "cores": 4, "threads": 8, "nic_model": "I219-LM"}
FACTS = {
    "pve_manager": "hi |8.4.1",
    "os_release": OS_RELEASE,
    "architecture": "x86_64",
    "cpu": LSCPU,
    "kvm": "usable",
    "memory": "MemTotal:       32612345 kB",
    "disks": LSBLK,
    "nics": NICS,
    "product": "OptiPlex 7050",
    "corosync_files": "",
    "corosync_unit": "inactive",
}
SPACE = """\
Filesystem           1024-blocks    Used Available Capacity Mounted on
/dev/mapper/pve-root    98497780 4200000  89247236       5% /
/dev/mapper/pve-root    98497780 4200000  89247236       5% /
tmpfs                   16306172       0  16306172       0% /tmp"""
INODES = """\
Filesystem            Inodes IUsed   IFree IUse% Mounted on
/dev/mapper/pve-root 6291456 80000 6211456    2% /"""
PACKAGES = {"audit": "", "interrupted": "", "dependencies": "", "space": SPACE, "inodes": INODES, "cluster-name": ""}
MANY = (sites.guest(), sites.guest("logs-vm01", 1))


def hypervisor() -> Hypervisor:
    plain = sites.contract().hypervisor
    return replace(plain, hardware=replace(plain.hardware, **HARDWARE))  # type: ignore[arg-type]


def facts(said: Mapping[str, str] | None = None) -> HostFacts:
    return HostFacts(answers({**FACTS, **(said or {})}))


def packages(said: Mapping[str, str] | None = None, rc: Mapping[str, int] | None = None) -> Answers:
    return answers({**PACKAGES, **(said or {})}, rc)


def contract() -> Contract:
    """Two VMs with their names and reservations."""
    plain = sites.contract(*MANY)
    reservations = tuple(Reservation(one.nic.mac, one.nic.address.ip, one.name) for one in MANY)
    records = (
        Record("A", "hv01.lab.deevnet.net", "198.18.99.21"),
        Record("CNAME", "pve.lab.deevnet.net", "hv01.lab.deevnet.net"),
        *(Record("A", one.fqdn, str(one.nic.address.ip)) for one in MANY),
    )
    return replace(plain, reservations=reservations, records=records)


def router(*reservations: Reservation) -> ObservedRouter:
    return ObservedRouter(reservations, (), (), ("/etc/mgmt-dnsmasq/hosts.dhcp",))


def reservation(mac: str, address: str, name: str) -> Reservation:
    return Reservation(Mac(mac), IPv4Address(address), name)


def states(findings: Iterable[Finding]) -> list[str]:
    return [finding.state for finding in findings]


def only(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


NOWHERE = Path("/nowhere/known_hosts")
