"""What is rendered is what was reviewed, and a real dnsmasq serves exactly that and is read back as it is."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness import errors, probe, routers
from harness.contract import Mac, Record, Reservation
from harness.routers.dnsmasq import DNS_FILE, LEASES_FILE, RESERVATIONS_FILE, main_file, observe, render
from harness.wait import wait_until
from tests.routers import dhcp
from tests.routers.namespace import CLIENT_NIC, Answered, Namespace, started_router, what_is_missing
from tests.routers.values import ADDRESSES, DOMAIN, MACS, MANAGEMENT, ROUTER, contract

GOLDEN = Path(__file__).with_name("golden")
ADDRESS = "198.18.99.1"


@pytest.mark.parametrize("path", sorted(render(contract())))
def test_is_what_was_reviewed(path: str) -> None:
    assert render(contract())[path] == (GOLDEN / Path(path).name).read_text()


def test_values_come_from_the_contract() -> None:
    elsewhere = replace(
        contract(),
        site="dvntm",
        domain="dvntm.example",
        router=replace(ROUTER, dns=IPv4Address("198.18.99.2"), dns_port=5353),
        reservations=(Reservation(Mac("02:de:20:01:01:01"), IPv4Address("198.18.99.77"), "x-vm01"),),
        records=(Record("A", "x-vm01.dvntm.example", "198.18.99.77"),),
    )
    files = render(elsewhere)
    main = files[main_file("dvntm")].splitlines()
    assert {"port=5353", "domain=dvntm.example", "local=/dvntm.example/", "listen-address=198.18.99.2"} <= set(main)
    assert "dhcp-option=tag:management,option:dns-server,198.18.99.2" in main
    assert files[RESERVATIONS_FILE].splitlines()[-1] == "02:de:20:01:01:01,id:*,198.18.99.77,x-vm01"
    assert DOMAIN not in "".join(files.values())


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    yield from running(tmp_path_factory.mktemp("router"))


@pytest.fixture
def fresh_router(tmp_path: Path) -> Iterator[Namespace]:
    yield from running(tmp_path)


def running(folder: Path) -> Iterator[Namespace]:
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    conf = f"--conf-file={main_file('lab')}"
    with started_router(folder, render(contract()), conf, address=f"{ADDRESS}/24") as started:
        yield started


def test_leaves_nothing_running(tmp_path: Path) -> None:
    for started in running(tmp_path):
        pid = started.pid
        assert Path(f"/proc/{pid}/cmdline").read_text().startswith("dnsmasq")
    waited = wait_until(lambda: _ended(pid), deadline_s=5.0, first_pause_s=0.01, longest_pause_s=0.1)
    assert waited.value, waited.last_seen


def _ended(pid: int) -> tuple[bool | None, str]:
    """What its parent has not collected yet has no command line any more."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        line = ""
    return (None if line else True), line


def ask_for_lease(router: Namespace, mac: str, client_id: bytes = b"", timeout_s: float = 3.0) -> dhcp.Lease | None:
    return router.inside(lambda: dhcp.lease(CLIENT_NIC, mac, client_id=client_id, timeout_s=timeout_s))


def test_gives_the_reserved_address_with_router_dns_and_domain(router: Namespace) -> None:
    lease = ask_for_lease(router, MACS["metrics-vm01"])
    assert lease is not None
    assert str(lease.address) == ADDRESSES["metrics-vm01"]
    assert lease.addresses(dhcp.ROUTER) == [str(MANAGEMENT.gateway)]
    assert lease.addresses(dhcp.DNS) == [str(ROUTER.dns)]
    assert lease.addresses(dhcp.SUBNET_MASK) == ["255.255.255.0"]
    assert lease.options[dhcp.SEARCH] == b"\x03lab\x07deevnet\x03net\x00"


def test_says_nothing_to_a_mac_without_reservation(router: Namespace) -> None:
    assert ask_for_lease(router, "02:de:99:7f:00:01", timeout_s=0.5) is None


def test_clones_with_one_client_id_get_an_address_each(fresh_router: Namespace) -> None:
    """Clones of one template show the template's id until they are made their own."""
    shared = b"\xff\x12\x34\x56\x78\x00\x02\x00\x00\xab\x11template"
    leases = {name: ask_for_lease(fresh_router, mac, shared) for name, mac in MACS.items()}
    assert {name: str(lease and lease.address) for name, lease in leases.items()} == {
        name: ADDRESSES[name] for name in MACS
    }
    held = observe(ROUTER.name, fresh_router.run).leases
    assert {(lease.mac, lease.address) for lease in held} == {(MACS[name], ADDRESSES[name]) for name in MACS}


def test_a_guest_that_changes_its_client_id_keeps_its_address(fresh_router: Namespace) -> None:
    first = ask_for_lease(fresh_router, MACS["logs-vm01"], b"\xfftemplate")
    second = ask_for_lease(fresh_router, MACS["logs-vm01"], b"\x01" + bytes.fromhex("02de99010201"))
    assert first is not None
    assert second is not None
    assert str(first.address) == str(second.address) == ADDRESSES["logs-vm01"]
    assert len(observe(ROUTER.name, fresh_router.run).leases) == 1


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_answers_a_and_ptr_of_every_record(router: Namespace, name: str) -> None:
    fqdn, address = f"{name}.{DOMAIN}", ADDRESSES[name]
    assert router.inside(lambda: probe.resolve_a(fqdn, ADDRESS)) == (IPv4Address(address),)
    assert router.inside(lambda: probe.resolve_ptr(address, ADDRESS)) == (fqdn,)


def test_answers_aliases(router: Namespace) -> None:
    alias = f"metrics.{DOMAIN}"
    assert router.inside(lambda: probe.resolve_cname(alias, ADDRESS)) == f"metrics-vm01.{DOMAIN}"
    assert router.inside(lambda: probe.resolve_a(alias, ADDRESS)) == (IPv4Address(ADDRESSES["metrics-vm01"]),)


def test_what_is_not_declared_does_not_exist(router: Namespace) -> None:
    assert router.inside(lambda: probe.resolve_a(f"nobody.{DOMAIN}", ADDRESS)) == ()
    assert router.inside(lambda: probe.resolve_ptr("198.18.99.250", ADDRESS)) == ()
    assert router.inside(lambda: probe.resolve_ptr("198.18.21.5", ADDRESS)) == ()
    assert router.inside(lambda: probe.resolve_cname(f"hv01.{DOMAIN}", ADDRESS)) is None


def test_nobody_else_is_asked(router: Namespace) -> None:
    with pytest.raises(errors.Refused, match=r"A www\.example\.org on 198\.18\.99\.1 port 53.*REFUSED"):
        router.inside(lambda: probe.resolve_a("www.example.org", ADDRESS))


def test_is_read_back_as_rendered(router: Namespace) -> None:
    wanted = contract()
    seen = observe(ROUTER.name, router.run)
    assert set(seen.reservations) == set(wanted.reservations)
    assert set(seen.records) == set(wanted.records)
    assert {main_file("lab"), RESERVATIONS_FILE, DNS_FILE} <= set(seen.sources)


def test_leases_are_read(router: Namespace) -> None:
    ask_for_lease(router, MACS["metrics-vm01"])
    (lease,) = [one for one in observe(ROUTER.name, router.run).leases if one.mac == MACS["metrics-vm01"]]
    assert (lease.address, lease.name) == (ADDRESSES["metrics-vm01"], "metrics-vm01")
    assert lease.expires_at is not None
    assert lease.expires_at > time.time()


def test_a_reservation_that_went_is_seen(fresh_router: Namespace) -> None:
    mac = MACS["metrics-vm01"]
    fresh_router.run(f"sed -i /{mac}/d {RESERVATIONS_FILE}; kill -HUP 1")
    assert mac not in {one.mac for one in observe(ROUTER.name, fresh_router.run).reservations}
    assert ask_for_lease(fresh_router, mac, timeout_s=0.5) is None


def test_a_second_reservation_for_an_address_is_seen(fresh_router: Namespace) -> None:
    fresh_router.run(f"echo 'dhcp-host=02:DE:99:7F:00:02,{ADDRESSES['logs-vm01']},thief' >>{main_file('lab')}")
    holders = {
        one.mac for one in observe(ROUTER.name, fresh_router.run).reservations if str(one.address).endswith(".31")
    }
    assert holders == {MACS["logs-vm01"], "02:de:99:7f:00:02"}


def test_a_wrong_ptr_record_is_seen_on_the_wire(fresh_router: Namespace) -> None:
    fresh_router.run(f"sed -i '2i {ADDRESSES['hv01']} wrong.{DOMAIN}' {DNS_FILE}; kill -HUP 1")

    def look() -> tuple[bool | None, str]:
        found = fresh_router.inside(lambda: probe.resolve_ptr(ADDRESSES["hv01"], ADDRESS))
        return (True if found[0] == f"wrong.{DOMAIN}" else None), f"{found}"

    waited = wait_until(look, deadline_s=5)  # dnsmasq reads its files some time after the signal
    assert waited.value, waited.last_seen


def test_a_router_that_serves_nothing_is_unreachable(router: Namespace) -> None:
    """A file that nobody has loaded is no reservation; a dnsmasq of another network is somebody else's."""
    assert observe(ROUTER.name, router.run).reservations
    with pytest.raises(errors.Unreachable, match="no dnsmasq is running there"):
        observe(ROUTER.name, lambda command: router.run(f"unshare --net sh -c {shlex.quote(command)}"))


def test_a_login_that_may_not_look_is_refused(router: Namespace) -> None:
    def as_nobody(command: str) -> Answered:
        return router.run(f"setpriv --reuid 65534 --clear-groups sh -c {shlex.quote(command)}")

    with pytest.raises(errors.Refused, match=r"find the running dnsmasq on core-rt01.*Log in there as root"):
        observe(ROUTER.name, as_nobody)


def not_asked(command: str, *, stdin: str | None = None) -> Answered:
    pytest.fail(f"asked {command}")


def test_a_kind_that_nobody_declared_is_unknown_not_right() -> None:
    site = replace(contract(), router=replace(ROUTER, kind=None))
    with pytest.raises(errors.Refused, match=r"on core-rt01: .*kind is not declared"):
        routers.observe(site, shell=not_asked)


@pytest.mark.parametrize("kind", ["opnsense", "vyos"])
def test_a_router_with_an_api_is_not_asked_through_commands(kind: str) -> None:
    site = replace(contract(), router=replace(ROUTER, kind=kind))
    assert not routers.is_readable(site)
    with pytest.raises(errors.HarnessError, match=r"on core-rt01: .*mgmt_router\.api"):
        routers.observe(site, shell=not_asked)


def test_leases_stand_where_the_config_says(router: Namespace) -> None:
    assert LEASES_FILE in observe(ROUTER.name, router.run).sources
