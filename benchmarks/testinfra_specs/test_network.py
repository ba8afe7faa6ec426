"""The router's reservations, and what is answered from here."""

from __future__ import annotations

import socket
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import dns.resolver
import dns.reversename
import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED

testinfra_hosts = [f"ssh://{EXPECTED['router']['name']}"]
Values = dict[str, Any]
GUESTS = pytest.mark.parametrize("vm", EXPECTED["guests"], ids=lambda vm: vm["name"])


@pytest.fixture(scope="module")
def resolver() -> dns.resolver.Resolver:
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = [EXPECTED["router"]["dns"]]
    return made


# clause network.reservation
@GUESTS
def test_router_reserves_the_address(host: Host, vm: Values) -> None:
    assert host.file("/etc/mgmt-dnsmasq/hosts.dhcp").contains(f"{vm['mac']},id:[*],{vm['address']},")


# clause network.dns
@GUESTS
def test_name_resolves(resolver: dns.resolver.Resolver, vm: Values) -> None:
    for name in (vm["fqdn"], *vm["aliases"]):
        assert [one.to_text() for one in resolver.resolve(name, "A")] == [vm["address"]]


@GUESTS
def test_address_resolves(resolver: dns.resolver.Resolver, vm: Values) -> None:
    pointer = dns.reversename.from_address(vm["address"])
    assert [one.to_text() for one in resolver.resolve(pointer, "PTR")] == [f"{vm['fqdn']}."]


# clause network.reachable
@GUESTS
def test_ssh_answers(vm: Values) -> None:
    with socket.create_connection((vm["address"], 22), timeout=5) as connection:
        assert connection.recv(4) == b"SSH-"


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
