"""The router's reservations, and what is answered from here."""

from __future__ import annotations

import re
import socket
import urllib.request
from urllib.parse import urlsplit

import dns.resolver
import dns.reversename
import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED, GUESTS, Values

testinfra_hosts = [f"ssh://{EXPECTED['router']['name']}"]


@pytest.fixture(scope="module")
def resolver() -> dns.resolver.Resolver:
    made = dns.resolver.Resolver(configure=False)
    made.nameservers, made.port = [EXPECTED["router"]["dns"]], EXPECTED["router"]["port"]
    return made


@pytest.fixture(scope="module")
def reservations(host: Host) -> list[tuple[str, str]]:
    """MAC and address of each."""
    text = host.file("/etc/mgmt-dnsmasq/hosts.dhcp").content_string
    return re.findall(r"^([0-9a-f:]{17}),(?:id:\*,)?([\d.]+),", text, re.M)


@pytest.fixture(scope="module")
def leases(host: Host) -> list[tuple[str, str]]:
    """MAC and address of each."""
    return re.findall(r"^\d+ ([0-9a-f:]{17}) (\S+) ", host.file("/var/lib/misc/dnsmasq.leases").content_string, re.M)


# clause network.reservation: router_reserves_the_address_for_the_mac, router_reserves_it_for_nobody_else
@GUESTS
def test_router_reserves_the_address_for_the_mac(reservations: list[tuple[str, str]], vm: Values) -> None:
    assert {address for mac, address in reservations if mac == vm["mac"]} == {vm["address"]}


@GUESTS
def test_router_reserves_it_for_nobody_else(reservations: list[tuple[str, str]], vm: Values) -> None:
    assert [mac for mac, address in reservations if address == vm["address"]] == [vm["mac"]]


# clause network.address: no_lease_stands_in_its_way
@GUESTS
def test_no_lease_stands_in_its_way(leases: list[tuple[str, str]], vm: Values) -> None:
    assert not [one for one in leases if (one[0] == vm["mac"]) != (one[1] == vm["address"])]


# clause identity.no-strangers: knows_every_mac_on_the_segment
def test_no_stranger_holds_a_lease(leases: list[tuple[str, str]]) -> None:
    assert {mac for mac, _ in leases} <= set(EXPECTED["known_macs"])


# clause network.dns: name_resolves_to_the_address, aliases_resolve_to_the_address, address_resolves_to_the_name
@GUESTS
def test_name_resolves_to_the_address(resolver: dns.resolver.Resolver, vm: Values) -> None:
    assert [one.to_text() for one in resolver.resolve(vm["fqdn"], "A")] == [vm["address"]]


@GUESTS
def test_aliases_resolve_to_the_address(resolver: dns.resolver.Resolver, vm: Values) -> None:
    for name in vm["aliases"]:
        assert [one.to_text() for one in resolver.resolve(name, "A")] == [vm["address"]]


@GUESTS
def test_address_resolves_to_the_name(resolver: dns.resolver.Resolver, vm: Values) -> None:
    pointer = dns.reversename.from_address(vm["address"])
    assert [one.to_text() for one in resolver.resolve(pointer, "PTR")] == [f"{vm['fqdn']}."]


# clause network.reachable: ssh_answers_at_the_name
@GUESTS
def test_ssh_answers_at_the_name(resolver: dns.resolver.Resolver, vm: Values) -> None:
    for found in resolver.resolve(vm["fqdn"], "A"):
        with socket.create_connection((found.to_text(), vm["ssh"]["port"]), timeout=5) as connection:
            assert connection.recv(4) == b"SSH-"


# clause service.healthy: ports_take_connections, health_address_answers
@GUESTS
def test_ports_take_connections(vm: Values) -> None:
    for service in vm["services"]:
        for port in service["tcp"]:
            socket.create_connection((vm["address"], port), timeout=5).close()


@GUESTS
def test_health_addresses_answer(vm: Values) -> None:
    for service in vm["services"]:
        if service["health"]:
            url = urlsplit(service["health"])
            at = url._replace(netloc=f"{vm['address']}:{url.port or 80}").geturl()
            asked = urllib.request.Request(at, headers={"Host": url.netloc})  # noqa: S310 - the site's own http address
            with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310
                assert answer.status == 200
