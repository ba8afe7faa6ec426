"""Each guest from inside: plain testinfra, a fact per command."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED, Values

testinfra_hosts = [f"ssh://{guest['name']}" for guest in EXPECTED["guests"]]
Guest = dict[str, Any]
Seen = dict[str, dict[str, str]]
TENANT = re.compile(EXPECTED["tenant_pattern"])


@pytest.fixture(scope="module")
def links(host: Host) -> list[Values]:
    """The links beyond loopback."""
    found: list[Values] = json.loads(host.check_output("ip -j addr show"))
    return [link for link in found if "LOOPBACK" not in link["flags"]]


@pytest.fixture(scope="module")
def held(links: list[Values]) -> list[Values]:
    """The IPv4 addresses beyond loopback."""
    return [one for link in links for one in link["addr_info"] if one["family"] == "inet"]


@pytest.fixture(scope="module")
def routes(host: Host) -> list[Values]:
    found: list[Values] = json.loads(host.check_output("ip -j -4 route show"))
    return found


@pytest.fixture(scope="module")
def resolvers(host: Host) -> list[str]:
    text: str = host.file("/run/systemd/resolve/resolv.conf").content_string
    return re.findall(r"^nameserver\s+(\S+)", text, re.M)


@pytest.fixture(scope="module")
def serves(host: Host) -> set[str]:
    """The ports that are open to others, as `tcp 9090`."""
    found = [re.fullmatch(r"(tcp|udp)://(.+):(\d+)", one) for one in host.socket.get_listening_sockets()]
    return {f"{one[1]} {one[3]}" for one in found if one and one[2] != "::1" and not one[2].startswith("127.")}


# clause template.fedora: lets_the_automation_user_in
def test_lets_the_automation_user_in(host: Host, guest: Guest) -> None:
    template = next(one for one in EXPECTED["templates"] if one["vmid"] == guest["template"])
    assert host.user().name == template["user"]


# clause identity.guest-unique: has_its_own_hostname, shares_no_machine_id, shares_no_ssh_host_key
def test_has_its_own_hostname(host: Host, guest: Guest) -> None:
    assert host.check_output("uname -n").partition(".")[0] == guest["name"]


def test_shares_no_machine_id(host: Host, guest: Guest, seen: Seen) -> None:
    text = host.file("/etc/machine-id").content_string.strip()
    assert seen["machine-id"].setdefault(text, guest["name"]) == guest["name"]


def test_shares_no_host_key(host: Host, guest: Guest, seen: Seen) -> None:
    keys = [line.split()[1] for line in host.check_output("cat /etc/ssh/ssh_host_*_key.pub").splitlines()]
    assert {seen["host-key"].setdefault(key, guest["name"]) for key in keys} == {guest["name"]}


# clause identity.mac-seen: sees_its_mac
def test_sees_its_mac(links: list[Values], guest: Guest) -> None:
    assert guest["mac"] in [link["address"] for link in links]


# clause network.address: holds_exactly_its_address, has_it_by_dhcp
def test_holds_exactly_its_address(held: list[Values], guest: Guest) -> None:
    assert [f"{one['local']}/{one['prefixlen']}" for one in held] == [f"{guest['address']}/{guest['prefix']}"]


def test_has_it_by_dhcp(held: list[Values]) -> None:
    assert all(one.get("dynamic") for one in held)


# clause network.reservation: router_offers_it_the_address
def test_was_given_the_address_by_the_router(host: Host, guest: Guest) -> None:
    assert f"{guest['address']} (DHCP4 via {EXPECTED['dhcp_server']})" in host.check_output("networkctl status --all")


# clause network.core-router: routes_through_the_core_router, resolves_through_the_core_router
def test_routes_through_the_core_router(routes: list[Values], guest: Guest) -> None:
    assert {one.get("gateway") for one in routes if one["dst"] == "default"} == {guest["gateway"]}


def test_resolves_through_the_core_router(resolvers: list[str]) -> None:
    assert resolvers == [EXPECTED["router"]["dns"]]


# clause network.core-router: its_gateway_is_no_vm_here
def test_its_gateway_is_no_vm_here(host: Host, guest: Guest) -> None:
    assert host.addr(guest["gateway"]).is_reachable
    behind = json.loads(host.check_output("ip -j -4 neigh show %s", guest["gateway"]))
    assert behind[0]["lladdr"] not in [vm["mac"] for vm in EXPECTED["guests"]]


# clause network.no-core-services: listens_for_neither_dns_nor_dhcp, forwards_no_packets, translates_no_addresses
def test_listens_for_neither_dns_nor_dhcp(serves: set[str]) -> None:
    assert not {int(one.split()[1]) for one in serves} & set(EXPECTED["core_ports"])


def test_forwards_no_packets(host: Host) -> None:
    told = host.check_output("grep -Hs . /proc/sys/net/ipv[46]/conf/*/forwarding").splitlines()
    passed_on = [line for line in told if not line.endswith(":0")]
    assert not [line for line in passed_on if not re.search(r"/conf/(default|lo)/", line)]


def test_translates_no_addresses(host: Host) -> None:
    tools = [tool for tool in ("nft", "iptables-save") if host.exists(tool)]
    with host.sudo():
        rules = "".join(host.check_output("nft list ruleset" if tool == "nft" else tool) for tool in tools)
    assert not re.search(r"\b(masquerade|snat|dnat)\b", rules, re.I)


# clause separation.no-tenants: guest_needs_no_tenant_hypervisor
@pytest.mark.parametrize("path", ["/etc/hosts", "/etc/fstab", "/proc/mounts"])
def test_file_names_no_tenant(host: Host, path: str) -> None:
    file = host.file(path)
    lines = file.content_string.splitlines() if file.exists else []
    assert not [line for line in lines if TENANT.search(line) and not line.startswith("#")]


def test_routes_and_resolvers_are_no_tenant(routes: list[Values], resolvers: list[str]) -> None:
    assert not [one for one in (*map(json.dumps, routes), *resolvers) if TENANT.search(one)]


# clause service.healthy: unit_is_active, unit_starts_with_the_guest, ports_are_open_to_others
def test_units_are_active(host: Host, guest: Guest) -> None:
    for service in guest["services"]:
        assert host.service(service["unit"]).is_running


def test_units_start_with_the_guest(host: Host, guest: Guest) -> None:
    for service in guest["services"]:
        told = host.service(service["unit"]).systemd_properties
        assert told["UnitFileState"] not in ("disabled", "masked", "") or told.get("TriggeredBy")


def test_ports_are_open_to_others(serves: set[str], guest: Guest) -> None:
    for service in guest["services"]:
        assert {f"tcp {port}" for port in service["tcp"]} | {f"udp {port}" for port in service["udp"]} <= serves
