"""What differs is named with its place, what is ours is changed, and what is somebody else's is never touched."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from harness.contract import Contract, Mac, Record, Reservation
from harness.routers import Changes, Comparison, Lease, ObservedRouter, compare
from tests.routers.values import ADDRESSES, DOMAIN, HERE, MACS, contract

NOW = 1_800_000_000.0
METRICS, ADDRESS = MACS["metrics-vm01"], ADDRESSES["metrics-vm01"]
STRANGER = "02:de:99:7f:00:01"
NOTHING = Changes((), (), (), ())


def reservation(mac: str, address: str, name: str = "") -> Reservation:
    return Reservation(Mac(mac), IPv4Address(address), name)


WANTED = reservation(METRICS, ADDRESS, "metrics-vm01")
A = Record("A", f"metrics-vm01.{DOMAIN}", ADDRESS)
ALIAS = Record("CNAME", f"metrics.{DOMAIN}", f"metrics-vm01.{DOMAIN}")


def declared() -> Contract:
    plain = contract()
    reservations = tuple(replace(one, declared=HERE) for one in plain.reservations)
    return replace(plain, reservations=reservations)


def seen(*, without: object = (), extra: object = (), leases: tuple[Lease, ...] = ()) -> ObservedRouter:
    """The router as declared, without one entry and with others."""
    wanted, gone = contract(), {without} if isinstance(without, Reservation | Record) else set()
    more = list(extra) if isinstance(extra, tuple) else [extra]
    return ObservedRouter(
        reservations=(
            *(one for one in wanted.reservations if one not in gone),
            *(one for one in more if isinstance(one, Reservation)),
        ),
        leases=leases,
        records=(
            *(one for one in wanted.records if one not in gone),
            *(one for one in more if isinstance(one, Record)),
        ),
        sources=(),
    )


def compared(router: ObservedRouter) -> Comparison:
    return compare(declared(), router, now=NOW)


def test_the_same_is_no_difference_and_no_change() -> None:
    found = compared(seen())
    assert found.differences == ()
    assert found.changes == NOTHING


def test_case_order_and_the_last_dot_are_no_difference() -> None:
    router = seen(without=A, extra=replace(A, name=f"METRICS-VM01.{DOMAIN}."))
    router = replace(router, reservations=tuple(reversed(router.reservations)))
    named = [replace(one, name=f"{one.name}.{DOMAIN}") for one in router.reservations]
    assert compared(replace(router, reservations=tuple(named))).differences == ()


# name -> (what the router holds, kind, words, what is removed, what is added)
OURS = {
    "reservation missing": (seen(without=WANTED), "missing", "seen nothing", (), (WANTED,)),
    "for another MAC": (
        seen(without=WANTED, extra=(other := reservation(STRANGER, ADDRESS, "metrics-vm01"))),
        "wrong",
        f"seen {STRANGER} -> {ADDRESS} (metrics-vm01)",
        (other,),
        (WANTED,),
    ),
    "another address": (
        seen(without=WANTED, extra=(moved := reservation(METRICS, "198.18.99.77", "metrics-vm01"))),
        "wrong",
        f"seen {METRICS} -> 198.18.99.77",
        (moved,),
        (WANTED,),
    ),
    "another name": (
        seen(without=WANTED, extra=(renamed := reservation(METRICS, ADDRESS, "old"))),
        "wrong",
        f"seen {METRICS} -> {ADDRESS} (old)",
        (renamed,),
        (WANTED,),
    ),
    "a second address": (
        seen(extra=(second := reservation(METRICS, "198.18.99.77"))),
        "duplicate",
        f"seen {METRICS} -> {ADDRESS} (metrics-vm01); {METRICS} -> 198.18.99.77",
        (second,),
        (),
    ),
    "the same twice": (seen(extra=WANTED), "duplicate", ", once, seen", (WANTED,), ()),
    "A missing": (seen(without=A), "missing", f"A metrics-vm01.{DOMAIN} on core-rt01: expected {ADDRESS}", (), (A,)),
    "A wrong": (
        seen(without=A, extra=(wrong := replace(A, target="198.18.99.77"))),
        "wrong",
        "seen 198.18.99.77",
        (wrong,),
        (A,),
    ),
    "A twice": (seen(extra=A), "duplicate", f"seen {ADDRESS}; {ADDRESS}", (A,), ()),
    "alias elsewhere": (
        seen(without=ALIAS, extra=(astray := replace(ALIAS, target=f"logs-vm01.{DOMAIN}"))),
        "wrong",
        f"seen logs-vm01.{DOMAIN}",
        (astray,),
        (ALIAS,),
    ),
    "alias that is an address": (
        seen(without=ALIAS, extra=(plain := Record("A", ALIAS.name, ADDRESS))),
        "wrong",
        f"seen A {ADDRESS}",
        (plain,),
        (ALIAS,),
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_what_is_ours_is_named_and_mended(name: str) -> None:
    router, kind, words, removed, added = OURS[name]
    found = compared(router)
    (difference,) = found.differences
    assert difference.kind == kind
    assert words in str(difference)
    assert str(difference).endswith("Next: ./invoke router.apply")
    changes = found.changes
    assert (*changes.remove_reservations, *changes.remove_records) == removed
    assert (*changes.add_reservations, *changes.add_records) == added
    assert not found.stops


def test_says_where_it_is_declared() -> None:
    (difference,) = compared(seen(without=WANTED)).differences
    assert f"Declared at {HERE}." in str(difference)


# name -> (what the router holds too, words)
CONFLICTS = {
    "a stranger's MAC at our address": (
        reservation(STRANGER, ADDRESS, "thief"),
        f"address of metrics-vm01 on core-rt01: expected {METRICS} -> {ADDRESS} (metrics-vm01), "
        f"seen {STRANGER} -> {ADDRESS} (thief), which the inventory does not declare",
    ),
    "a stranger's MAC without a name": (reservation(STRANGER, ADDRESS), "which the inventory does not declare"),
    "the address of a host without a reservation": (
        reservation(STRANGER, ADDRESSES["hv02"], "thief"),
        f"address of hv02 on core-rt01: expected {ADDRESSES['hv02']} for nobody else",
    ),
    "another name at our address": (
        Record("A", f"printer.{DOMAIN}", ADDRESS),
        f"names at {ADDRESS} on core-rt01: expected metrics-vm01.{DOMAIN} alone, seen printer.{DOMAIN}",
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_what_is_somebody_elses_and_in_the_way_stops_everything(name: str) -> None:
    entry, words = CONFLICTS[name]
    found = compared(seen(extra=entry))
    assert found.changes == NOTHING
    (difference,) = found.stops
    assert words in str(difference)
    assert "by hand" in difference.do


def test_duplicates_among_others_stop_too() -> None:
    """Kea refuses its whole configuration for one of them."""
    twice = (reservation(STRANGER, "198.18.99.200", "a"), reservation("02:de:99:7f:00:02", "198.18.99.200", "b"))
    (difference,) = compared(seen(extra=twice)).stops
    assert "198.18.99.200 (a); 02:de:99:7f:00:02 -> 198.18.99.200 (b)" in difference.seen


@pytest.mark.parametrize(
    "entry",
    [
        reservation(STRANGER, "198.18.99.200", "laptop"),
        reservation(STRANGER, ADDRESSES["hv02"], "hv02"),  # declared, but its MAC is not known there
        Record("A", f"printer.{DOMAIN}", "198.18.99.200"),
        Record("CNAME", f"www.{DOMAIN}", f"metrics-vm01.{DOMAIN}"),
        Record("CNAME", f"www.{DOMAIN}", "www.example.org"),
    ],
)
def test_what_is_somebody_elses_is_left_alone(entry: object) -> None:
    found = compared(seen(extra=entry))
    assert found.differences == ()
    assert found.changes == NOTHING


def test_an_alias_without_an_address_behind_it_is_dangling() -> None:
    found = compared(seen(extra=Record("CNAME", f"www.{DOMAIN}", f"gone.{DOMAIN}")))
    (difference,) = found.differences
    assert (difference.kind, difference.seen) == ("dangling", f"no record of gone.{DOMAIN}")
    assert found.changes == NOTHING


def lease(mac: str, address: str, ends: float = NOW + 60, client_id: str | None = None) -> Lease:
    return Lease(mac, address, None, int(ends), client_id)


@pytest.mark.parametrize(
    ("held", "kind", "words"),
    [
        (lease(METRICS, "198.18.99.77"), "lease", f"expected {ADDRESS}, seen 198.18.99.77 for {METRICS}"),
        (lease(METRICS, "198.18.99.77", client_id="ff:01"), "lease", "as client-id ff:01"),
        (lease(STRANGER, ADDRESS), "lease", f"seen {ADDRESS} for {STRANGER}"),
        (lease(STRANGER, "198.18.99.200"), "stranger", f"seen 198.18.99.200 for {STRANGER}"),
    ],
)
def test_a_lease_that_stands_against_the_inventory_is_named(held: Lease, kind: str, words: str) -> None:
    found = compared(seen(leases=(held,)))
    (difference,) = found.differences
    assert difference.kind == kind
    assert words in str(difference)
    assert found.changes == NOTHING
    assert not found.stops


@pytest.mark.parametrize(
    "held",
    [
        lease(METRICS, ADDRESS),
        lease(METRICS, "198.18.99.77", ends=NOW - 1),
        lease(STRANGER, "198.18.10.101"),  # a dynamic range is there for machines nobody knows
        replace(lease(METRICS, ADDRESS), expires_at=None),
    ],
)
def test_other_leases_are_as_they_should_be(held: Lease) -> None:
    assert compared(seen(leases=(held,))).differences == ()


def test_a_guest_is_asked_about_alone() -> None:
    found = compared(seen(without=WANTED, extra=reservation(STRANGER, ADDRESSES["logs-vm01"], "thief")))
    assert [one.kind for one in found.reservations_of({"metrics-vm01"})] == ["missing"]
    assert [one.kind for one in found.reservations_of({"logs-vm01"})] == ["foreign"]
    assert found.reservations_of({"desk-ph01"}) == ()
