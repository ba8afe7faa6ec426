"""A chain holds link by link, stops at the first bad one, and is not guessed where nobody looked."""

from __future__ import annotations

import pytest

from harness.errors import Unreachable
from harness.verify.chain import Link, follow
from harness.verify.looks import Looks, NotLooked
from tests.routers.values import contract

GUEST = contract().guests[0]
SILENT = Unreachable(tried="log in", on="metrics-vm01", happened="no route to host", do="Look there")


def fails(error: Exception) -> Link:
    def see() -> object:
        raise error

    return Link("lease", "198.18.99.30", see, "lease")


def link(name: str, seen: object = "right") -> Link:
    return Link(name, "right", lambda: seen, name)


def test_a_whole_chain_shows_every_link() -> None:
    found = follow(GUEST, [link("net0"), link("PTR")])
    assert found is not None
    assert (found.verdict, found.broken_at) == ("pass", None)
    assert found.held == (GUEST.nic.mac, "net0", "PTR")


def test_it_stops_at_the_first_bad_link() -> None:
    found = follow(GUEST, [link("net0"), link("reservation", "wrong"), fails(AssertionError("not asked any more"))])
    assert found is not None
    assert (found.verdict, found.broken_at, found.said) == ("fail", "reservation", "expected right, seen wrong")
    assert found.held == (GUEST.nic.mac, "net0")


def test_what_could_not_be_seen_is_not_broken() -> None:
    found = follow(GUEST, [link("net0"), fails(SILENT)])
    assert found is not None
    assert (found.verdict, found.broken_at, found.said) == ("unknown", "lease", "could not look: no route to host")


def test_a_link_nobody_asked_about_leaves_the_chain_out() -> None:
    looks = Looks()
    looks.close()
    with pytest.raises(NotLooked) as raised:
        looks.take("router", lambda _: "never asked")
    assert follow(GUEST, [link("net0"), fails(raised.value)]) is None


def test_what_was_looked_at_can_be_had_after_closing() -> None:
    looks = Looks()
    looks.take("router", lambda _: "seen")
    looks.close()
    assert looks.take("router", lambda _: "asked again") == "seen"
