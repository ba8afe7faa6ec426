"""A guest's own words become values: addresses and how it got them, gateways, resolvers, listeners."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.errors import Unreachable
from harness.verify.guest_facts import GuestFacts, Listener, parse_listeners, unit_commands
from tests.verify.answers import ADDRESSES, LISTENERS, NEIGHBOURS, ROUTES, STATIC, answers


def facts(**said: str) -> GuestFacts:
    return GuestFacts(answers(said))


def test_a_lease_is_dynamic_and_a_static_address_is_not() -> None:
    (leased,) = facts(addresses=ADDRESSES).addresses
    assert (str(leased.address), leased.prefix, leased.mac, leased.dynamic) == (
        "198.18.99.30",
        24,
        "02:de:99:01:01:01",
        True,
    )
    assert [held.dynamic for held in facts(addresses=STATIC).addresses] == [False]


def test_loopback_counts_neither_as_link_nor_as_address() -> None:
    assert facts(addresses=ADDRESSES).macs == {"02:de:99:01:01:01"}


def test_gateways_are_those_of_the_default_routes() -> None:
    assert facts(routes=ROUTES).gateways == ("198.18.99.1",)
    assert facts(routes='[{"dst":"default","dev":"ppp0","flags":[]}]').gateways == ("the link ppp0",)
    assert facts(routes="[]").gateways == ()


def test_resolvers_are_read_past_comments() -> None:
    text = "# nameserver 9.9.9.9\nnameserver 198.18.99.1\nsearch lab.deevnet.net\nnameserver 198.18.99.2\n"
    assert facts(resolvers=text).resolvers == ("198.18.99.1", "198.18.99.2")


def test_listeners_on_loopback_are_told_apart() -> None:
    listeners = parse_listeners(LISTENERS)
    assert Listener("tcp", "[::]", 22) in listeners
    assert [one.port for one in listeners if not one.loopback] == [68, 22, 22, 9090]
    assert [one.port for one in listeners if one.loopback] == [53, 53, 53, 323]


@pytest.mark.parametrize(
    ("on", "forwards"),
    [
        ((), ()),
        (("ipv4/conf/all",), ("ipv4 all",)),
        (("ipv4/conf/eth0",), ("ipv4 eth0",)),
        (("ipv6/conf/all",), ("ipv6 all",)),
        (("ipv4/conf/default", "ipv4/conf/lo"), ()),
    ],
)
def test_forwarding_counts_in_either_protocol_and_on_any_link(on: tuple[str, ...], forwards: tuple[str, ...]) -> None:
    links = [f"ipv{version}/conf/{link}" for version in (4, 6) for link in ("all", "default", "eth0", "lo")]
    text = "\n".join(f"{link}/forwarding:{int(link in on)}" for link in links)
    assert facts(forwarding=text).forwards == forwards


UNITS = """\
Id=lighttpd.service
Names=lighttpd.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
TriggeredBy=

Id=ssh.service
Names=ssh.service sshd.service
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=disabled
TriggeredBy=ssh.socket

Id=grafana-server.service
Names=grafana-server.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
TriggeredBy="""


@pytest.mark.parametrize(
    ("name", "said", "comes_back"),
    [
        ("lighttpd.service", "active (running)", True),
        ("sshd.service", "inactive (dead)", True),  # by another of its names; the socket starts it
        ("grafana-server.service", "not installed", False),
    ],
)
def test_units_are_found_by_any_of_their_names(name: str, said: str, comes_back: bool) -> None:
    unit = facts(units=UNITS).unit(name)
    assert unit is not None
    assert (str(unit), unit.comes_back) == (said, comes_back)


def test_a_unit_nobody_asked_for_is_none() -> None:
    assert facts(units=UNITS).unit("other.service") is None


def test_the_question_about_units_names_them_all() -> None:
    assert unit_commands([]) == {}
    assert "-- a.service b@x.socket" in unit_commands(["a.service", "b@x.socket"])["units"]


@pytest.mark.parametrize(
    ("states", "status", "said"),
    [
        (["active"], 0, "ActiveState=active\n"),
        (["activating", "activating", "active"], 0, "ActiveState=active\n"),
        (["activating", "failed"], 0, "ActiveState=failed\n"),
        ([], 1, ""),
    ],
    ids=["active", "just starting", "starting in vain", "no answer"],
)
def test_a_unit_that_is_just_starting_is_asked_again(states: list[str], status: int, said: str, tmp_path: Path) -> None:
    for number, state in enumerate(states):
        (tmp_path / str(number)).write_text(f"ActiveState={state}\n")
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\ncd {tmp_path} && set -- [0-9] && cat "$1" && rm "$1"\n')
    systemctl.chmod(0o755)
    script = unit_commands(["a.service"])["units"]
    path = f"{tmp_path}:/usr/bin:/bin"
    ended = subprocess.run(["sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (status, said)
    assert not list(tmp_path.glob("[0-9]"))


def test_open_ports_are_those_that_others_reach() -> None:
    assert {"tcp 22", "tcp 9090"} <= facts(listeners=LISTENERS).serves
    assert "tcp 53" not in facts(listeners=LISTENERS).serves


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("", 0),
        ("table inet filter {\n chain input { type filter hook input priority 0; }\n}", 0),
        ("table ip nat {\n chain post {\n  oifname eth0 masquerade\n }\n}", 1),
        ("-A POSTROUTING -o eth0 -j MASQUERADE", 1),
        ("-A PREROUTING -p tcp -j DNAT --to 10.0.0.1", 1),
        ("  ip saddr 10.0.0.0/8 snat to 1.2.3.4", 1),
    ],
)
def test_rules_that_rewrite_addresses_are_found(rules: str, found: int) -> None:
    assert len(facts(nat=rules).translates) == found


def test_the_mac_behind_the_gateway_is_its_neighbours() -> None:
    seen = facts(neighbours=NEIGHBOURS)
    assert seen.mac_of_neighbour(IPv4Address("198.18.99.1")) == "02:99:c6:12:63:01"
    for silent in (seen, facts(neighbours="")):
        with pytest.raises(Unreachable, match=r"see who is at 198\.18\.99\.31 on metrics-vm01: no neighbour answers"):
            silent.mac_of_neighbour(IPv4Address("198.18.99.31"))


def test_host_keys_are_compared_without_their_comments() -> None:
    assert facts(host_keys="ssh-ed25519 AAAA root@a\n\nssh-rsa BBBB root@a\n").host_keys == {
        "ssh-ed25519 AAAA",
        "ssh-rsa BBBB",
    }


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"routes": ROUTES.replace("198.18.99.1", "198.18.99.22")}, 1),
        ({"resolvers": "nameserver 198.18.99.22"}, 1),
        ({"mounts": "hv02:/export /data nfs4 rw 0 0"}, 1),
        ({"hosts-and-fstab": "198.18.99.22 hv02.lab.deevnet.net hv02"}, 1),
        ({"hosts-and-fstab": "# hv02 was here"}, 0),
        ({"mounts": "/dev/vda1 / ext4 rw 0 0"}, 0),
        ({"resolvers": "nameserver 198.18.99.221"}, 0),
        ({"hosts-and-fstab": "198.18.99.9 hv021 xhv02 hv02-old hv02.elsewhere.net"}, 0),
    ],
)
def test_lines_that_lean_on_the_tenant_hypervisor_are_found(said: dict[str, str], found: int) -> None:
    texts = {"routes": "[]", "resolvers": "", "mounts": "", "hosts-and-fstab": "", **said}
    seen = GuestFacts(answers(texts))
    assert len(seen.lines_naming("hv02", "hv02.lab.deevnet.net", "198.18.99.22")) == found


def test_without_a_tenant_hypervisor_nothing_leans_on_it() -> None:
    texts = {"routes": ROUTES, "resolvers": "nameserver 198.18.99.1", "mounts": "", "hosts-and-fstab": ""}
    assert GuestFacts(answers(texts)).lines_naming() == ()
