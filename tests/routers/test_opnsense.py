"""What only OPNsense does, and what a client of it must notice: refusals with status 200, hand edits, a full house."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.contract import Mac, Record, Reservation
from harness.errors import HarnessError, Invalid, Refused, Unreachable, Untrusted
from harness.routers.opnsense import open_router, render
from harness.routers.port import Changes
from tests.routers.standin import KEY, SECRET, StandIn, Variant, started, what_is_missing
from tests.routers.values import DOMAIN, MACS, contract

GOLDEN = Path(__file__).with_name("golden")
METRICS = Reservation(MACS["metrics-vm01"], IPv4Address("198.18.99.30"), "metrics-vm01")
NEW = Reservation(Mac("02:de:99:01:03:01"), IPv4Address("198.18.99.32"), "dashboards-vm01")
NOTHING = Changes((), (), (), ())


@pytest.mark.parametrize("action", sorted(render(contract())))
def test_payloads_are_what_was_reviewed(action: str) -> None:
    assert render(contract())[action] == (GOLDEN / "opnsense" / f"{action.rpartition('/')[2]}.jsonl").read_text()


@pytest.fixture(params=["raw", "label"])
def router(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StandIn]:
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path, Variant("opnsense", rows=request.param)) as made:
        yield made


@pytest.fixture
def recent(tmp_path: Path) -> Iterator[StandIn]:
    if missing := what_is_missing():
        pytest.skip(missing)
    limited = {"key": "narrow", "secret": "narrow", "pages": ["kea/"]}
    with started(tmp_path, Variant("opnsense"), keys=[{"key": KEY, "secret": SECRET}, limited]) as made:
        yield made


def uuid_of(router: StandIn, path: str, **wanted: str) -> str:
    rows = router.call(path)["rows"]
    return str(next(row["uuid"] for row in rows if all(row[name] == value for name, value in wanted.items())))


def override(**fields: str) -> dict[str, dict[str, str]]:
    return {"host": {"enabled": "1", "hostname": "metrics-vm01", "domain": DOMAIN, "rr": "A", **fields}}


def test_a_reservation_keeps_its_own_options(recent: StandIn) -> None:
    """A change is a change: what an administrator added to the entry stays."""
    uuid = uuid_of(recent, "kea/dhcpv4/search_reservation", hostname="metrics-vm01")
    extra = {"description": "boots by PXE", "option_data": {"tftp_server_name": "pxe"}}
    assert recent.call(f"kea/dhcpv4/set_reservation/{uuid}", {"reservation": extra})["result"] == "saved"
    moved = replace(METRICS, address=IPv4Address("198.18.99.40"))
    recent.write(replace(NOTHING, remove_reservations=(METRICS,), add_reservations=(moved,)))
    kept = recent.call(f"kea/dhcpv4/get_reservation/{uuid}")["reservation"]
    assert (kept["ip_address"], kept["description"], kept["option_data"]) == ("198.18.99.40", *extra.values())


def test_what_was_deleted_comes_back_whole(recent: StandIn) -> None:
    """The grid does not show an entry's own options; they are read before it is deleted."""
    uuid = uuid_of(recent, "kea/dhcpv4/search_reservation", hostname="metrics-vm01")
    recent.call(f"kea/dhcpv4/set_reservation/{uuid}", {"reservation": {"option_data": {"tftp_server_name": "pxe"}}})
    taken = replace(NEW, address=IPv4Address("198.18.99.31"))
    recent.failing(replace(NOTHING, remove_reservations=(METRICS,), add_reservations=(taken,)))
    back = uuid_of(recent, "kea/dhcpv4/search_reservation", hostname="metrics-vm01")
    whole = recent.call(f"kea/dhcpv4/get_reservation/{back}")["reservation"]
    assert back != uuid
    assert whole["option_data"] == {"tftp_server_name": "pxe"}


def test_its_words_are_quoted(recent: StandIn) -> None:
    error = recent.failing(replace(NOTHING, add_reservations=(replace(NEW, address=IPv4Address("198.18.99.31")),)))
    assert "POST kea/dhcpv4/add_reservation" in str(error)
    assert "reservation.ip_address: Duplicate entry exists." in str(error)


def test_duplicates_stay_visible(router: StandIn) -> None:
    """OPNsense compares MACs as text and overrides not at all: both kinds of double are seen."""
    subnet = next(row["uuid"] for row in router.call("kea/dhcpv4/search_subnet")["rows"] if "99" in row["subnet"])
    dashed = {"subnet": subnet, "ip_address": "198.18.99.50", "hw_address": METRICS.mac.replace(":", "-").upper()}
    assert router.call("kea/dhcpv4/add_reservation", {"reservation": dashed})["result"] == "saved"
    router.call("unbound/settings/add_host_override", override(server="198.18.99.50"))
    seen = router.observe()
    assert [str(one.address) for one in seen.reservations if one.mac == METRICS.mac] == ["198.18.99.30", "198.18.99.50"]
    addresses = [one.target for one in seen.records if one.name == f"metrics-vm01.{DOMAIN}"]
    assert addresses == ["198.18.99.30", "198.18.99.50"]
    # An alias follows the override it was made for, although two now have that name.
    assert Record("CNAME", f"metrics.{DOMAIN}", f"metrics-vm01.{DOMAIN}") in seen.records


def test_the_double_that_carries_the_aliases_may_go(router: StandIn) -> None:
    router.call("unbound/settings/add_host_override", override(server="198.18.99.50"))
    router.write(replace(NOTHING, remove_records=(Record("A", f"metrics-vm01.{DOMAIN}", "198.18.99.30"),)))
    assert router.answers("metrics") == router.answers("metrics-vm01") == ("198.18.99.50",)


def test_what_is_disabled_is_no_record(router: StandIn) -> None:
    uuid = uuid_of(router, "unbound/settings/search_host_override", hostname="metrics-vm01")
    router.call(f"unbound/settings/set_host_override/{uuid}", {"host": {"enabled": "0"}})
    names = {one.name for one in router.observe().records}
    assert f"metrics-vm01.{DOMAIN}" not in names
    assert f"metrics.{DOMAIN}" not in names


def test_a_daemon_that_does_not_start_is_noticed(recent: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """OPNsense says ok before it starts Kea; here its configuration had become unusable beforehand."""
    monkeypatch.setattr("harness.routers.opnsense.RUNNING_S", 2.0)
    subnet = next(row["uuid"] for row in recent.call("kea/dhcpv4/search_subnet")["rows"] if "99" in row["subnet"])
    dashed = {"subnet": subnet, "ip_address": "198.18.99.50", "hw_address": METRICS.mac.replace(":", "-")}
    assert recent.call("kea/dhcpv4/add_reservation", {"reservation": dashed})["result"] == "saved"
    error = recent.failing(replace(NOTHING, add_reservations=(NEW,)))
    assert "activate the changes of Kea DHCPv4" in str(error)
    assert "it is stopped" in str(error)
    assert error.__notes__[0].startswith("Nor could the router's state before be put back")
    assert NEW not in recent.observe().reservations


def test_a_daemon_that_ends_by_the_change_runs_again_as_before(
    recent: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Kea that does not take just this reservation: what is wrong with it only Kea knows."""
    monkeypatch.setattr("harness.routers.opnsense.RUNNING_S", 2.0)
    particular = f'#!/bin/sh\n! grep -q {NEW.mac} /etc/kea/kea-dhcp4.conf && exec /usr/sbin/kea-dhcp4 "$@"\n'
    recent.run(f"printf '{particular}' >/usr/local/bin/kea-dhcp4 && chmod +x /usr/local/bin/kea-dhcp4")
    seen = recent.observe()
    error = recent.failing(replace(NOTHING, add_reservations=(NEW,)))
    assert "activate the changes of Kea DHCPv4" in str(error)
    assert error.__notes__ == ["The state before is back on core-rt01."]
    assert set(recent.observe().reservations) == set(seen.reservations)
    assert recent.lease(METRICS.mac) == "198.18.99.30"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("state['kea']['general']['manual_config'] = '1'", "edited by hand"),
        ("state['kea']['general']['enabled'] = '0'", "Kea DHCPv4 is not enabled"),
        ("state['dnsmasq'] = {'enable': '1', 'port': '53'}", "Dnsmasq answers on port 53"),
        ("state['dnsmasq'] = {'enable': '1', 'port': '53053'}", "Unbound does not run"),
    ],
)
def test_a_router_that_serves_otherwise_is_refused(tmp_path: Path, change: str, words: str) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path, Variant("opnsense"), change=change) as router:
        if "dnsmasq" in change:
            router.run("/service stop unbound")
        with pytest.raises(Refused, match=words):
            router.observe()


def test_a_wrong_key_is_refused_and_not_shown(recent: StandIn) -> None:
    error = failing_with(recent, secret="not-the-secret-1234")
    assert isinstance(error, Refused)
    assert "does not accept the key" in str(error)
    assert "not-the-secret-1234" not in f"{error!r} {error}"


def test_a_key_without_the_page_is_told_which(recent: StandIn) -> None:
    error = failing_with(recent, key="narrow", secret="narrow")
    assert isinstance(error, Refused)
    assert "Services: Unbound" in str(error)


def failing_with(router: StandIn, **secrets: str) -> HarnessError:
    for name, text in secrets.items():
        Path(str(getattr(router.contract.router.api, name).value)).write_text(text)
    with pytest.raises(HarnessError) as caught:
        router.observe()
    return caught.value


def test_another_certificate_is_not_trusted(recent: StandIn) -> None:
    api = recent.contract.router.api
    assert api is not None
    pinned = replace(api, ca_file=None, fingerprint="AB:" * 31 + "AB")
    other = replace(recent, contract=replace(recent.contract, router=replace(recent.contract.router, api=pinned)))
    with pytest.raises(Untrusted, match="not the pinned one"):
        other.observe()


def test_a_router_that_is_no_opnsense_is_named(tmp_path: Path) -> None:
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path, Variant("vyos")) as router:
        api = router.contract.router.api
        assert api is not None
        site = replace(router.contract, router=replace(router.contract.router, api=replace(api, secret=api.key)))
        wrong = replace(router, contract=site, variant=Variant("opnsense"))
        with pytest.raises(Unreachable, match=r"not as OPNsense's API does .*mgmt_router\.kind"):
            wrong.observe()


def test_a_router_without_an_api_is_said() -> None:
    with pytest.raises(Invalid, match=r"Declare mgmt_router\.api"), open_router(contract()):
        pass


# What the stand-in itself promises: the habits of the real thing that a client must be proved against.


def test_the_stand_in_answers_as_opnsense_does(recent: StandIn) -> None:
    basic = base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
    known = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    add = "/api/kea/dhcpv4/addReservation"
    assert recent.send(add, {}, "{}") == (401, {"status": 401, "message": "Authentication Failed"})
    assert recent.send(add, known, "{")[0] == 400
    assert recent.send("/api/kea/dhcpv4/no_such", known, None) == (404, {"errorMessage": "Endpoint not found"})
    assert recent.send(add, known, None) == (200, {"result": "failed"})  # not posted
    assert recent.send(add, known, '{"wrong": {}}') == (200, {"result": "failed"})  # without its wrapper
    status, said = recent.send(add, known, '{"reservation": {"subnet": "x", "ip_address": "y", "hw_address": ""}}')
    assert (status, said["result"]) == (200, "failed")
    assert said["validations"]["reservation.subnet"] == "Related subnet not found."
    unknown = recent.send("/api/unbound/settings/del_host_alias/123", known, "{}")
    assert unknown == (200, {"result": "not found"})
    assert recent.send("/api/unbound/settings/set_host_alias/123", known, '{"alias": {}}') == (
        200,
        {"result": "failed"},
    )


def test_nothing_is_active_until_its_service_is_told(recent: StandIn) -> None:
    recent.call("unbound/settings/add_host_override", override(hostname="later", server="198.18.99.60"))
    assert recent.answers("later") == ()
    assert recent.call("unbound/service/reconfigure", {}) == {"status": "ok"}
    assert recent.answers("later") == ("198.18.99.60",)
