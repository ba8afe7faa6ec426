"""Every way in which dnsmasq takes reservations, records and leases is read, and nothing is made up."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.contract import Mac, Record, Reservation
from harness.routers.dnsmasq_files import (
    is_read,
    observe,
    parse_arguments,
    parse_host,
    parse_hosts_line,
    parse_lease,
    parse_option,
)
from harness.routers.observed import Lease
from tests.routers.namespace import started_router, what_is_missing

MAC = Mac("02:de:20:01:01:01")
ADDRESS = IPv4Address("10.20.99.30")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("02:de:20:01:01:01,10.20.99.30,metrics-vm01", [Reservation(MAC, ADDRESS, "metrics-vm01")]),
        ("02:DE:20:01:01:01,Metrics-VM01,10.20.99.30", [Reservation(MAC, ADDRESS, "metrics-vm01")]),
        ("02:de:20:01:01:01,id:*,set:known,10.20.99.30,metrics-vm01,12h", [Reservation(MAC, ADDRESS, "metrics-vm01")]),
        ("02:de:20:01:01:01,10.20.99.30", [Reservation(MAC, ADDRESS, "")]),
        ("02:de:20:01:01:01,10.20.99.30,infinite", [Reservation(MAC, ADDRESS, "")]),
        ("01-02:de:20:01:01:01, 10.20.99.30, [fd00::1], x, 3600", [Reservation(MAC, ADDRESS, "x")]),
        (
            "02:de:20:01:01:01,02:de:20:01:01:02,10.20.99.30,x",
            [Reservation(MAC, ADDRESS, "x"), Reservation(Mac("02:de:20:01:01:02"), ADDRESS, "x")],
        ),
        ("02:de:20:01:01:01,ignore", []),
        ("02:de:20:01:01:01,10.20.99.30,ignore", []),
        ("02:de:20:01:01:01,name-only", []),
        ("id:01:02:03,10.20.99.30", []),
        ("02:de:20:*:*:*,10.20.99.30", []),
    ],
)
def test_reads_every_form_of_dhcp_host(line: str, expected: list[Reservation]) -> None:
    assert list(parse_host(line)) == expected


# From a lease file of dnsmasq 2.90, addresses changed.
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "1795342800 02:de:20:01:01:01 10.20.99.30 metrics-vm01 ff:12:34:56:78:00",
            Lease(MAC, "10.20.99.30", "metrics-vm01", 1795342800, "ff:12:34:56:78:00"),
        ),
        ("0 02:de:20:01:01:01 10.20.99.30 * 01:02:de:20:01:01:01", Lease(MAC, "10.20.99.30", None, None)),
        ("0 02:de:20:01:01:01 10.20.99.30 * *", Lease(MAC, "10.20.99.30", None, None)),
        ("duid 00:01:00:01:2c:aa:bb:cc:02:de:20:01:01:01", None),
        ("1795342800 20:01:01:01 fd00::1 metrics-vm01 00:01", None),
        ("", None),
    ],
)
def test_reads_leases(line: str, expected: Lease | None) -> None:
    assert parse_lease(line) == expected


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("10.20.99.30 metrics-vm01.dvntm.deevnet.net metrics-vm01", ["metrics-vm01.dvntm.deevnet.net"]),
        ("10.20.99.30\tA.Example.  b.example", ["a.example", "b.example"]),
        ("127.0.0.1 localhost", []),
        ("::1 ip6-localhost.example", []),
    ],
)
def test_reads_hosts_files(line: str, names: list[str]) -> None:
    assert [record.name for record in parse_hosts_line(line)] == names


# /proc/PID/cmdline of Debian 12's dnsmasq.service, of libvirt's, and with separate values.
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "/usr/sbin/dnsmasq -x /run/dnsmasq/dnsmasq.pid -u dnsmasq -7 /etc/dnsmasq.d,.dpkg-dist,.dpkg-old "
            "--local-service --trust-anchor=.,20326,8,2,E06D",
            {"conf-dir": "/etc/dnsmasq.d,.dpkg-dist,.dpkg-old"},
        ),
        (
            "/usr/sbin/dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/default.conf --leasefile-ro",
            {"conf-file": "/var/lib/libvirt/dnsmasq/default.conf"},
        ),
        (
            "dnsmasq -C /a.conf --addn-hosts /b -G 02:de:20:01:01:01,10.20.99.30 -7/c -h",
            {
                "conf-file": "/a.conf",
                "addn-hosts": "/b",
                "dhcp-host": "02:de:20:01:01:01,10.20.99.30",
                "conf-dir": "/c",
                "no-hosts": "",
            },
        ),
    ],
)
def test_reads_command_lines(command: str, expected: dict[str, str]) -> None:
    assert expected.items() <= dict(parse_arguments(command.split())).items()


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("mgmt.conf", [], True),
        ("mgmt.conf", ["*.conf"], True),
        ("mgmt.off", ["*.conf"], False),
        ("mgmt.conf.dpkg-old", [".dpkg-old"], False),
        ("mgmt.conf~", [], False),
        (".mgmt.conf", [], False),
        ("#mgmt.conf#", [], False),
    ],
)
def test_knows_which_files_of_a_folder_are_read(name: str, patterns: list[str], *, expected: bool) -> None:
    assert is_read(f"/etc/dnsmasq.d/{name}", patterns) is expected


def test_options_may_have_blanks_and_quotes() -> None:
    assert parse_option('addn-hosts = "/a b"') == ("addn-hosts", "/a b")
    assert parse_option("no-hosts") == ("no-hosts", "")


def test_follows_every_line_that_names_a_file(tmp_path: Path) -> None:
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    files = {
        "/etc/dnsmasq.conf": "port=5353\nconf-dir=/etc/dnsmasq.d,*.conf\nconf-file=/etc/more.conf # the rest\n",
        "/etc/dnsmasq.d/one.conf": "dhcp-host=02:de:20:01:01:01,10.20.99.30,one\naddn-hosts=/etc/names\n",
        "/etc/dnsmasq.d/two.off": "dhcp-host=02:de:20:01:01:09,10.20.99.39,off\n",
        "/etc/more.conf": "dhcp-hostsdir=/etc/reserved\nhost-record=hr.example,hr,10.20.99.40\nno-hosts\n"
        "cname=alias.example,other.example,hr.example\naddress=/wild.example/10.20.99.41\n",
        "/etc/reserved/two": "02:de:20:01:01:02,10.20.99.32,two\n",
        "/etc/names/first": "# names\n10.20.99.30 one.example\n",
    }
    with started_router(
        tmp_path, files, "--dhcp-host=02:de:20:01:01:03,10.20.99.33,three", address="10.20.99.1/24"
    ) as up:
        seen = observe("rt", up.run)
    assert seen.leases == ()
    assert {(one.mac[-1], str(one.address), one.name) for one in seen.reservations} == {
        ("1", "10.20.99.30", "one"),
        ("2", "10.20.99.32", "two"),
        ("3", "10.20.99.33", "three"),
    }
    assert set(seen.records) == {
        Record("A", "one.example", "10.20.99.30"),
        Record("A", "hr.example", "10.20.99.40"),
        Record("A", "wild.example", "10.20.99.41"),
        Record("CNAME", "alias.example", "hr.example"),
        Record("CNAME", "other.example", "hr.example"),
    }
