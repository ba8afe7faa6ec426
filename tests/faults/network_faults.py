"""Faults between a VM's MAC, its address and its name, and of what the core router alone should do."""

from __future__ import annotations

from harness.contract import Declared, Service
from tests.faults.bench import HYPERVISOR, ROUTER
from tests.faults.bypass import bypassed
from tests.faults.fault import Fault
from tests.faults.ways import (
    Way,
    answered,
    called,
    configured,
    edited,
    edited_behind_the_api,
    guest_agreed,
    ran,
    while_stopped,
    written,
)
from tests.site.driver import ROOT

GUEST, VMID, MAC, ADDRESS = "metrics-vm01", 130, "02:de:99:01:01:01", "198.18.99.30"
DOMAIN = "lab.deevnet.net"
FQDN = f"{GUEST}.{DOMAIN}"
ELSEWHERE, STRANGER = "198.18.99.77", "02:aa:bb:cc:dd:ee"
RESERVATIONS, NAMES = "/etc/mgmt-dnsmasq/hosts.dhcp", "/etc/mgmt-dnsmasq/hosts.dns"
MAIN, LEASES = "/etc/dnsmasq.d/mgmt-lab.conf", "/var/lib/misc/dnsmasq.leases"
HERE = Declared(ROOT / "inventory/lab/group_vars/all/workloads.yml", 1)
RELOAD = "systemctl reload dnsmasq"
RESERVATION, HELD, DNS = ("network.reservation",), ("network.address",), ("network.dns",)
CORE, SERVICES, BRIDGE = ("network.core-router",), ("network.no-core-services",), ("network.bridge",)
# What only the guest itself can tell.
INSIDE = (
    "identity.guest-unique",
    "identity.mac-seen",
    "network.address",
    "network.core-router",
    "network.no-core-services",
    "separation.no-tenants",
    "service.healthy",
)


def reserved(pattern: str, new: str) -> Way:
    return edited(ROUTER, RESERVATIONS, pattern, new, then=RELOAD)


def named(pattern: str, new: str) -> Way:
    return edited(ROUTER, NAMES, pattern, new, then=RELOAD)


def restarted(*ways: Way) -> Way:
    return while_stopped(ROUTER, "dnsmasq", *ways)


def ended(pid_file: str) -> str:
    """End that process, and return when it is gone with its sockets."""
    return f"pid=$(cat {pid_file}); kill $pid; timeout 10 tail --pid=$pid -f /dev/null"


def second_server() -> Way:
    """In a VM, which is a broken promise of its own."""
    options = "--conf-file=/dev/null --port=0 --dhcp-range=198.18.99.200,198.18.99.210,255.255.255.0,1h"
    files = "--pid-file=/run/second.pid --dhcp-leasefile=/run/second.leases"
    return ran("oob-vm01", f"dnsmasq {options} {files}", ended("/run/second.pid"))


ROUTER_FAULTS = (
    Fault(
        "a reservation missing",
        RESERVATION,
        f"addresses reserved for {MAC}: expected {ADDRESS}, seen none",
        reserved(f"^{MAC},.*\n", ""),
    ),
    Fault(
        "a reservation for another MAC",
        RESERVATION,
        f"MACs with {ADDRESS} reserved: expected {MAC}, seen 02:de:99:7f:00:01",
        reserved(f"^{MAC},", "02:de:99:7f:00:01,"),
    ),
    Fault(
        "an address reserved twice",
        RESERVATION,
        f"MACs with {ADDRESS} reserved: expected {MAC}, seen {MAC}, 02:de:99:7f:00:02",
        reserved(r"\Z", f"02:de:99:7f:00:02,{ADDRESS},thief\n"),
    ),
    Fault(
        "an old lease of another machine",
        (*HELD, *RESERVATION),  # the reservation is there, and cannot be offered
        f"leases against {MAC} -> {ADDRESS}: expected none, seen {ADDRESS} for {STRANGER}",
        restarted(edited(ROUTER, LEASES, rf"^\d+ {MAC} .*", f"4000000000 {STRANGER} {ADDRESS} old *")),
    ),
    Fault(
        "an old lease of another address",
        HELD,
        f"leases against {MAC} -> {ADDRESS}: expected none, seen {ELSEWHERE} for {MAC}",
        restarted(edited(ROUTER, LEASES, rf"(?<= {MAC} ){ADDRESS} ", f"{ELSEWHERE} ")),
    ),
    Fault(
        "a client-id that bypasses the reservation",
        (*HELD, *RESERVATION, "network.reachable", "service.healthy"),  # nobody is at the VM's address
        f"seen {ELSEWHERE} for {MAC} ({GUEST}), as client-id ff:",
        bypassed(GUEST, MAC, ADDRESS, ELSEWHERE),
        unknown=tuple(one for one in INSIDE if one not in (*HELD, "service.healthy")),
    ),
    Fault(
        "a second DHCP server, in a VM",
        (*CORE, *SERVICES),
        "DHCP servers on vmbr0: expected 198.18.99.1, seen 198.18.99.1, 198.18.99.39",
        second_server(),
    ),
    Fault(
        "a router that is alive and deaf",
        (*CORE, *RESERVATION),
        "DHCP servers on vmbr0: expected 198.18.99.1, seen none",
        ran(ROUTER, "systemctl kill -s STOP dnsmasq", "systemctl kill -s CONT dnsmasq"),
        unknown=(*DNS, "network.reachable"),  # nor does it answer for names
    ),
    Fault(
        "A to another address",
        (*DNS, "network.reachable"),
        f"A {FQDN}: expected {ADDRESS}, seen {ELSEWHERE}",
        named(f"^{ADDRESS} ", f"{ELSEWHERE} "),
    ),
    Fault(
        "PTR to another name",
        DNS,
        f"PTR {ADDRESS}: expected {FQDN}, seen wrong.{DOMAIN}",
        named(f"^{ADDRESS} .*", f"{ADDRESS} wrong.{DOMAIN} {FQDN}"),
    ),
    Fault(
        "A without PTR",
        DNS,
        f"PTR {ADDRESS}: expected {FQDN}, seen none",
        restarted(
            edited(ROUTER, NAMES, f"^.*{FQDN}.*\n", ""),
            edited(ROUTER, MAIN, r"\Z", f"address=/{FQDN}/{ADDRESS}\ndhcp-ignore-names\n"),
            edited(ROUTER, LEASES, rf"(?<= {MAC} {ADDRESS} )\S+", "*"),
            edited(ROUTER, RESERVATIONS, rf",{GUEST}$", ""),
        ),
    ),
    Fault(
        "an alias that leads nowhere",
        DNS,
        f"aliases of {GUEST}: expected metrics.{DOMAIN}: {ADDRESS}, seen metrics.{DOMAIN}: none",
        restarted(edited(ROUTER, MAIN, f"^(cname=metrics.{DOMAIN},).*", rf"\1gone.{DOMAIN}")),
    ),
)

GUEST_FAULTS = (
    Fault(
        "a second, fixed address in a guest",
        HELD,
        f"addresses inside {GUEST}: expected {ADDRESS}/24, seen {ADDRESS}/24, {ELSEWHERE}/24",
        ran(GUEST, f"ip addr add {ELSEWHERE}/24 dev eth0", f"ip addr del {ELSEWHERE}/24 dev eth0"),
    ),
    Fault(
        "an address fixed in a VM's configuration",
        HELD,
        f"addresses in the configuration of {GUEST}: expected none, seen ipconfig0: ip={ELSEWHERE}/24",
        configured(VMID, ipconfig0=f"ip={ELSEWHERE}/24"),
    ),
    Fault(
        "a guest whose sshd is down",
        ("network.reachable",),
        f"SSH at {FQDN}: expected a banner, seen {ADDRESS}: nothing",
        ran(GUEST, "systemctl stop ssh", "systemctl start ssh"),
        unknown=INSIDE,
    ),
    Fault(
        "a guest that routes elsewhere",
        CORE,
        f"gateways inside {GUEST}: expected 198.18.99.1, seen",
        ran(GUEST, "ip route add default via 198.18.99.39 metric 9", "ip route del default via 198.18.99.39 metric 9"),
    ),
    Fault(
        "a guest that asks another resolver",
        CORE,
        f"resolvers inside {GUEST}: expected 198.18.99.1, seen",
        ran(GUEST, "resolvectl dns eth0 198.18.99.39", "resolvectl dns eth0 198.18.99.1"),
    ),
    Fault(
        "a core router that is a VM here",
        (*CORE, "identity.no-strangers"),
        "VMs with the core router's name: expected none, seen 900",
        called(
            "POST",
            f"/nodes/{HYPERVISOR}/qemu",
            vmid="900",
            name=ROUTER,
            memory="512",
            net0="virtio=02:99:c6:12:63:01,bridge=vmbr0",
        ),
    ),
    Fault(
        "a guest that serves DNS",
        SERVICES,
        f"core services inside {GUEST}: expected none, seen",
        ran(
            GUEST,
            f"dnsmasq --conf-file=/dev/null --listen-address={ADDRESS} --bind-interfaces --pid-file=/run/dns.pid",
            ended("/run/dns.pid"),
        ),
    ),
    Fault(
        "a guest that forwards packets",
        SERVICES,
        f"forwarding inside {GUEST}: expected none, seen ipv4",
        ran(GUEST, "echo 1 >/proc/sys/net/ipv4/ip_forward", "echo 0 >/proc/sys/net/ipv4/ip_forward"),
    ),
    Fault(
        "a guest that translates addresses",
        SERVICES,
        f"NAT rules inside {GUEST}: expected none, seen -A POSTROUTING -o eth0 -j MASQUERADE",
        written(
            GUEST,
            "/usr/local/sbin/iptables-save",
            "#!/bin/sh\necho '*nat'; echo '-A POSTROUTING -o eth0 -j MASQUERADE'; echo COMMIT\n",
            then="test ! -e /usr/local/sbin/iptables-save || chmod 755 /usr/local/sbin/iptables-save",
        ),
    ),
    Fault(
        "a core service declared for a VM",
        (*SERVICES, "service.healthy"),  # nor does it run
        f"core services declared for {GUEST}: expected none, seen unbound.service on 53",
        guest_agreed(GUEST, services=(Service("unbound.service", (53,), None, declared=HERE),)),
    ),
    Fault(
        "a VM on another bridge",
        BRIDGE,
        f"bridge and tag of {GUEST}: expected vmbr0, nothing, seen vmbr1, nothing",
        edited_behind_the_api(VMID, net0=f"virtio={MAC},bridge=vmbr1"),
    ),
    Fault(
        "a bridge without its port",
        BRIDGE,
        "ports of vmbr0: expected eno1, seen none",
        edited(HYPERVISOR, "/etc/network/interfaces", "bridge-ports eno1", "bridge-ports none"),
    ),
    Fault(
        "a bridge that is down",
        BRIDGE,
        "vmbr0 is up: expected yes, seen no",
        answered(f"/nodes/{HYPERVISOR}/network", [{"iface": "vmbr0", "type": "bridge", "bridge_ports": "eno1"}]),
    ),
)
FAULTS = (*ROUTER_FAULTS, *GUEST_FAULTS)
