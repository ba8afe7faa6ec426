"""Each guest from inside: plain testinfra, a fact per command."""

from __future__ import annotations

import json
from typing import Any

from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED

testinfra_hosts = [f"ssh://{guest['name']}" for guest in EXPECTED["guests"]]
Guest = dict[str, Any]


# clause identity.guest-unique
def test_has_its_own_hostname(host: Host, guest: Guest) -> None:
    assert host.check_output("uname -n") == guest["name"]


def test_shares_no_machine_id(host: Host, guest: Guest, seen: dict[str, dict[str, str]]) -> None:
    text = host.file("/etc/machine-id").content_string.strip()
    assert seen["machine-id"].setdefault(text, guest["name"]) == guest["name"]


def test_shares_no_host_key(host: Host, guest: Guest, seen: dict[str, dict[str, str]]) -> None:
    text = host.file("/etc/ssh/ssh_host_ed25519_key.pub").content_string.split()[1]
    assert seen["host-key"].setdefault(text, guest["name"]) == guest["name"]


# clause identity.mac-seen
def test_sees_its_mac(host: Host, guest: Guest) -> None:
    link = host.interface.default().name
    assert host.file(f"/sys/class/net/{link}/address").content_string.strip() == guest["mac"]


# clause network.address
def test_holds_its_address(host: Host, guest: Guest) -> None:
    assert guest["address"] in host.interface.default().addresses


def test_holds_no_other_address(host: Host, guest: Guest) -> None:
    links = json.loads(host.check_output("ip -j -4 addr show scope global"))
    held = [f"{one['local']}/{one['prefixlen']}" for link in links for one in link["addr_info"]]
    assert held == [f"{guest['address']}/{guest['prefix']}"]


def test_has_it_by_dhcp(host: Host) -> None:
    links = json.loads(host.check_output("ip -j -4 addr show scope global"))
    assert all(one.get("dynamic") for link in links for one in link["addr_info"])


# clause network.core-router
def test_routes_through_the_core_router(host: Host, guest: Guest) -> None:
    assert f"via {guest['gateway']} " in host.check_output("ip -4 route show default")


def test_resolves_through_the_core_router(host: Host) -> None:
    text = host.file("/run/systemd/resolve/resolv.conf").content_string
    assert [line.split()[1] for line in text.splitlines() if line.startswith("nameserver")] == [
        EXPECTED["router"]["dns"]
    ]


# clause network.no-core-services
def test_serves_no_dns(host: Host) -> None:
    assert not host.socket("tcp://0.0.0.0:53").is_listening
    assert not host.socket("udp://0.0.0.0:53").is_listening


def test_serves_no_dhcp(host: Host) -> None:
    assert not host.socket("udp://0.0.0.0:67").is_listening


def test_forwards_no_packets(host: Host) -> None:
    assert host.sysctl("net.ipv4.ip_forward") == 0


def test_translates_no_addresses(host: Host) -> None:
    tools = [tool for tool in ("nft", "iptables-save") if host.exists(tool)]
    with host.sudo():
        rules = "".join(host.check_output("nft list ruleset" if tool == "nft" else tool) for tool in tools)
    assert "masquerade" not in rules
    assert "dnat" not in rules


# clause separation.no-tenants
def test_hosts_file_names_no_tenant(host: Host) -> None:
    assert not host.file("/etc/hosts").contains("hv02")


def test_fstab_names_no_tenant(host: Host) -> None:
    fstab = host.file("/etc/fstab")
    assert not fstab.exists or not fstab.contains("hv02")


def test_mounts_nothing_of_a_tenant(host: Host) -> None:
    assert "hv02" not in host.file("/proc/mounts").content_string


# clause service.healthy
def test_units_run(host: Host, guest: Guest) -> None:
    for service in guest["services"]:
        assert host.service(service["unit"]).is_running


def test_units_start_with_the_guest(host: Host, guest: Guest) -> None:
    for service in guest["services"]:
        unit = service["unit"]
        states = host.check_output(f"systemctl show -p UnitFileState -p TriggeredBy {unit}")
        assert "UnitFileState=disabled" not in states or "TriggeredBy=ssh" in states


def test_ports_are_open(host: Host, guest: Guest) -> None:
    for service in guest["services"]:
        for port in service["tcp"]:
            assert is_open(host, "tcp", port)
        for port in service["udp"]:
            assert is_open(host, "udp", port)


def is_open(host: Host, protocol: str, port: int) -> bool:
    return any(host.socket(f"{protocol}://{at}:{port}").is_listening for at in ("0.0.0.0", "::"))  # noqa: S104 - asked, not bound
