"""One set of promises for every router with an API: read, changed and put back, before real Kea and unbound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from harness import probe
from harness.contract import Mac, Record, Reservation
from harness.routers.port import Changes, Snapshot
from tests.routers.standin import ADDRESS, VARIANTS, StandIn, started, what_is_missing
from tests.routers.values import DOMAIN, MACS, contract

METRICS = Reservation(MACS["metrics-vm01"], IPv4Address("198.18.99.30"), "metrics-vm01")
LOGS = Reservation(MACS["logs-vm01"], IPv4Address("198.18.99.31"), "logs-vm01")
NEW = Reservation(Mac("02:de:99:01:03:01"), IPv4Address("198.18.99.32"), "dashboards-vm01")
NEW_NAMES = (
    Record("A", f"dashboards-vm01.{DOMAIN}", "198.18.99.32"),
    Record("CNAME", f"dashboards.{DOMAIN}", f"dashboards-vm01.{DOMAIN}"),
)
NOTHING = Changes((), (), (), ())


@pytest.fixture(params=VARIANTS, ids=str)
def router(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path_factory.mktemp("router"), request.param) as made:
        yield made


@pytest.fixture(scope="module", params=VARIANTS, ids=str)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """The same for tests that change nothing."""
    if missing := what_is_missing():
        pytest.skip(missing)
    with started(tmp_path_factory.mktemp("router"), request.param) as made:
        yield made


def test_serves_and_shows_what_it_was_given(kept: StandIn) -> None:
    seen, declared = kept.observe(), contract()
    assert set(seen.reservations) == set(declared.reservations)
    assert set(seen.records) == set(declared.records)
    assert kept.lease(METRICS.mac) == "198.18.99.30"
    assert kept.lease(NEW.mac, tries=4) is None
    assert kept.answers("metrics") == kept.answers("metrics-vm01") == ("198.18.99.30",)
    assert kept.inside(lambda: probe.resolve_ptr("198.18.99.30", ADDRESS)) == (f"metrics-vm01.{DOMAIN}",)
    assert kept.answers("nobody") == ()


def test_a_lease_is_seen(kept: StandIn) -> None:
    kept.lease(METRICS.mac)
    (lease,) = kept.observe().leases
    assert (lease.mac, lease.address, lease.name) == (METRICS.mac, "198.18.99.30", "metrics-vm01")
    assert lease.expires_at is not None


def test_new_ones_are_served_after_one_activation(router: StandIn) -> None:
    before = router.started()
    router.write(replace(NOTHING, add_reservations=(NEW,), add_records=NEW_NAMES))
    told = router.started()[len(before) :]
    assert sorted(line.split()[1] for line in told) == ["kea", "unbound"]
    assert router.lease(NEW.mac) == "198.18.99.32"
    assert router.answers("dashboards") == ("198.18.99.32",)
    seen = router.observe()
    assert NEW in seen.reservations
    assert set(NEW_NAMES) <= set(seen.records)


def test_only_the_service_that_changes_is_told(router: StandIn) -> None:
    before = router.started()
    router.write(replace(NOTHING, add_records=NEW_NAMES))
    assert [line.split()[1] for line in router.started()[len(before) :]] == ["unbound"]
    router.write(NOTHING)
    assert len(router.started()) == len(before) + 1


def test_two_hosts_change_their_addresses(router: StandIn) -> None:
    """The second is in the first one's way, and no router allows two reservations for one address."""
    swapped = (replace(METRICS, address=LOGS.address), replace(LOGS, address=METRICS.address))
    router.write(replace(NOTHING, remove_reservations=(METRICS, LOGS), add_reservations=swapped))
    assert set(swapped) <= set(router.observe().reservations)
    assert router.lease(METRICS.mac) == "198.18.99.31"


def test_an_address_moves_and_its_aliases_stay(router: StandIn) -> None:
    old, new = (
        Record("A", f"metrics-vm01.{DOMAIN}", "198.18.99.30"),
        Record("A", f"metrics-vm01.{DOMAIN}", "198.18.99.40"),
    )
    router.write(replace(NOTHING, remove_records=(old,), add_records=(new,)))
    assert router.answers("metrics") == router.answers("metrics-vm01") == ("198.18.99.40",)
    assert Record("CNAME", f"metrics.{DOMAIN}", new.name) in router.observe().records


def test_an_alias_moves(router: StandIn) -> None:
    old = Record("CNAME", f"metrics.{DOMAIN}", f"metrics-vm01.{DOMAIN}")
    router.write(replace(NOTHING, remove_records=(old,), add_records=(replace(old, target=f"logs-vm01.{DOMAIN}"),)))
    assert router.answers("metrics") == ("198.18.99.31",)


def test_what_goes_is_gone(router: StandIn) -> None:
    names = tuple(one for one in contract().records if "metrics" in one.name)
    router.write(replace(NOTHING, remove_reservations=(METRICS,), remove_records=names))
    assert router.lease(METRICS.mac, tries=4) is None
    assert router.answers("metrics-vm01") == router.answers("metrics") == ()
    assert METRICS not in router.observe().reservations


def snapshot_of(router: StandIn) -> Snapshot:
    return router.using(lambda opened: opened.snapshot())


def test_putting_back_is_told_to_the_services_even_when_nothing_differs(router: StandIn) -> None:
    """A run that was killed may have put the entries back and not have come further."""
    before, told = snapshot_of(router), router.started()
    router.using(lambda opened: opened.restore(before))
    expected = {"opnsense": ["restart kea", "restart unbound"], "vyos": []}[router.variant.kind]
    assert router.started()[len(told) :] == expected
    assert router.lease(METRICS.mac) == "198.18.99.30"


def test_everything_is_put_back(router: StandIn) -> None:
    """The snapshot may have been on disk meanwhile, and is what the router holds again in every detail."""
    before, seen = json.loads(json.dumps(snapshot_of(router))), router.observe()
    names = tuple(one for one in contract().records if "metrics" in one.name)
    router.write(Changes((METRICS,), (NEW,), names, NEW_NAMES))
    assert router.observe() != seen
    router.using(lambda opened: opened.restore(before))
    assert snapshot_of(router) == before
    after = router.observe()
    assert set(after.reservations) == set(seen.reservations)
    assert set(after.records) == set(seen.records)
    assert router.lease(METRICS.mac) == "198.18.99.30"
    assert router.answers("metrics") == ("198.18.99.30",)


def test_a_refused_change_leaves_nothing_behind(router: StandIn) -> None:
    """An address that somebody else holds: the first of the two would have been fine."""
    taken = replace(NEW, name="other-vm01", mac=Mac("02:de:99:01:09:01"), address=LOGS.address)
    seen = router.observe()
    error = router.failing(replace(NOTHING, add_reservations=(NEW, taken), add_records=NEW_NAMES))
    assert "core-rt01" in str(error)
    assert error.__notes__ == ["The state before is back on core-rt01."]
    assert set(router.observe().reservations) == set(seen.reservations)
    assert set(router.observe().records) == set(seen.records)
    assert router.lease(METRICS.mac) == "198.18.99.30"


def test_an_address_in_no_subnet_is_refused_before_any_write(kept: StandIn) -> None:
    before = kept.started()
    error = kept.failing(replace(NOTHING, add_reservations=(replace(NEW, address=IPv4Address("192.0.2.1")),)))
    assert "192.0.2.1" in str(error)
    assert "subnet" in error.happened
    assert kept.started() == before


def test_an_alias_of_nobody_is_refused(kept: StandIn) -> None:
    error = kept.failing(replace(NOTHING, add_records=(NEW_NAMES[1],)))
    assert f"make dashboards.{DOMAIN} an alias of dashboards-vm01.{DOMAIN}" in str(error)


def test_an_alias_that_stays_keeps_its_host_from_going(kept: StandIn) -> None:
    host = Record("A", f"metrics-vm01.{DOMAIN}", "198.18.99.30")
    error = kept.failing(replace(NOTHING, remove_records=(host,)))
    assert f"metrics.{DOMAIN} is an alias of it" in str(error)
    assert kept.answers("metrics") == ("198.18.99.30",)


def test_what_somebody_took_away_meanwhile_is_said(kept: StandIn) -> None:
    error = kept.failing(replace(NOTHING, remove_reservations=(NEW,)))
    assert "somebody else changed the router meanwhile" in str(error)


def test_two_hundred_reservations_are_one_activation(router: StandIn) -> None:
    many = tuple(
        Reservation(Mac(f"02:de:99:02:01:{n:02x}"), IPv4Address(f"198.18.99.{n}"), f"many-vm{n:02}")
        for n in range(41, 241)
        if n != 99
    )
    before = router.started()
    router.write(replace(NOTHING, add_reservations=many))
    assert router.started()[len(before) :] == ["restart kea"]
    assert set(many) <= set(router.observe().reservations)
    assert router.lease(many[-1].mac) == str(many[-1].address)
