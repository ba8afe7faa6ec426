"""Faults of who a VM is, and of who else is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from harness.contract import Contract, Mac
from tests.faults.bench import HYPERVISOR, ROUTER
from tests.faults.fault import Fault
from tests.faults.ways import (
    Way,
    agreed,
    answered,
    called,
    configured,
    declared,
    declared_unread,
    ran,
    taken,
    together,
    written,
)

GUEST, VMID, MAC, ADDRESS = "metrics-vm01", 130, "02:de:99:01:01:01", "198.18.99.30"
MACHINE_ID = "/etc/machine-id"
OTHER, STRANGER = "factory-vm01", "02:aa:bb:cc:dd:ee"
MGMT, SPACE = "group_vars/all/mgmt.yml", "group_vars/all/mac_namespace.yml"
# Before the real one in the path of those who log in: a guest that really spoke under another MAC would not be reached.
IP = "/usr/local/bin/ip"
OTHER_IP = f"#!/bin/sh\n/sbin/ip \"$@\" | sed 's/{MAC}/02:de:99:01:01:98/'\n"
STRANGERS = ("identity.no-strangers",)
YESTERDAY = date.today() - timedelta(days=1)


def other_mac(mac: str) -> Way:
    """The VM's MAC in the contract alone: the inventory's own check holds it against the namespace."""

    def change(contract: Contract) -> Contract:
        nic = next(guest.nic for guest in contract.guests if guest.name == GUEST)
        guests = (replace(one, nic=replace(nic, mac=Mac(mac))) if one.nic == nic else one for one in contract.guests)
        return replace(contract, guests=tuple(guests))

    return agreed(change)


def foreign_vm(**keys: str) -> Way:
    return called("POST", f"/nodes/{HYPERVISOR}/qemu", vmid="900", memory="512", **keys)


def arp_from(mac: str) -> str:
    """One frame on the segment, from the router's link and under another MAC."""
    frame = f"bytes.fromhex('{'ff' * 6}{mac.replace(':', '')}0806') + bytes(46)"
    return f"python3 -c \"import socket; s = socket.socket(17, 3); s.bind(('lan0', 0)); s.send({frame})\""


def frame_from_a_stranger() -> Way:
    heard = ran(ROUTER, arp_from(STRANGER), "true")
    return together(ran(HYPERVISOR, "true", f"bridge fdb del {STRANGER} dev eno1 master"), heard)


FAULTS = (
    Fault(
        "a MAC that says another group",
        ("identity.mac-namespace",),
        f"MAC of {GUEST}: expected 02:de:99:01:0b:01, seen {MAC}",
        declared_unread((SPACE, 'metrics: "01"', 'metrics: "0b"')),
    ),
    Fault(
        "a MAC that another machine has",
        ("identity.mac-namespace",),
        f"others with the MAC {MAC}: expected none, seen",
        declared_unread(("host_vars/hv02.yml", "02:de:99:00:02:02", MAC)),
    ),
    Fault(
        "a MAC that some manufacturer has",
        ("identity.mac-namespace", "identity.mac-applied", "identity.mac-seen", "network.reservation"),
        "lowest bits of the first byte: expected 10, seen 00 in 00:de:99:01:01:01",
        other_mac("00:de:99:01:01:01"),
    ),
    Fault(
        "another MAC on a VM",
        ("identity.mac-applied",),
        f"NICs of {GUEST}: expected net0: {MAC}, seen net0: 02:de:99:01:01:99",
        configured(VMID, net0="virtio=02:de:99:01:01:99,bridge=vmbr0"),
    ),
    Fault(
        "a guest that sees another MAC than its own",
        ("identity.mac-seen",),
        f"links inside {GUEST}: expected {MAC}, seen 02:de:99:01:01:98",
        written(GUEST, IP, OTHER_IP, then=f"test ! -e {IP} || chmod 755 {IP}"),
    ),
    Fault(
        "a guest that calls itself otherwise",
        ("identity.guest-unique",),
        f"hostname inside {GUEST}: expected {GUEST}, seen fedora-template",
        ran(GUEST, "hostname fedora-template", f"hostname {GUEST}"),
    ),
    Fault(
        "two guests with one machine-id",
        ("identity.guest-unique",),
        f"guests with the machine-id of {GUEST}: expected none, seen {OTHER}",
        taken(GUEST, MACHINE_ID, OTHER, MACHINE_ID),
    ),
    Fault(
        "two guests with one SSH host key",
        ("identity.guest-unique",),
        f"guests with an SSH host key of {GUEST}: expected none, seen {OTHER}",
        taken(GUEST, "/etc/ssh/ssh_host_rsa_key.pub", OTHER, "/etc/ssh/ssh_host_ed25519_key.pub"),
    ),
    Fault(
        "a VM that nobody declared",
        STRANGERS,
        "undeclared on the hypervisor: expected none, seen VM 900 stranger",
        foreign_vm(name="stranger"),
    ),
    Fault(
        "a container that nobody declared",
        STRANGERS,
        "undeclared on the hypervisor: expected none, seen container 901",
        answered(f"/nodes/{HYPERVISOR}/lxc", [{"vmid": "901", "name": "stranger", "status": "running"}]),
    ),
    Fault(
        "an exception that has ended",
        STRANGERS,
        f"exceptions past their end date: expected none, seen VM 900 until {YESTERDAY}",
        together(
            foreign_vm(name="stranger"),
            declared(
                (
                    MGMT,
                    "  core_router: core-rt01\n",
                    f"  core_router: core-rt01\n  exceptions: [{{vmid: 900, reason: moves out, until: {YESTERDAY}}}]\n",
                )
            ),
        ),
    ),
    Fault(
        "a MAC that nobody declared",
        STRANGERS,
        f"MACs on the segments of the VMs that nobody declared: expected none, seen {STRANGER} (behind eno1)",
        frame_from_a_stranger(),
    ),
)
