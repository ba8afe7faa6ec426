"""Sentences, times and promises as a reader expects them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from harness.contract import Declared
from harness.report.model import Report
from harness.report.words import age, days_left, duration, gather, in_short, in_words, parse_sentence, promise_of
from harness.verify.expect import Expect
from tests import sites
from tests.report.values import STARTED, check, clause, report

TODAY = date(2026, 11, 22)


def sentence(what: str, seen: object, expected: object, do: str = "./invoke plan") -> str:
    """As verify makes it."""
    expect = Expect("lab", lambda _: None)
    return str(expect.broken(what, seen, expected, at=sites.guest(), do=do))


def test_what_verify_says_of_a_broken_promise_is_understood() -> None:
    said = parse_sentence(sentence("MAC of metrics-vm01", None, "02:de:99:01:01:01"))
    assert said is not None
    assert (said.what, said.expected, said.seen) == ("MAC of metrics-vm01", "02:de:99:01:01:01", "nothing")
    assert (said.declared, said.next) == (str(Declared(sites.HERE.file, 3)), "./invoke plan --site lab")


def test_a_sentence_with_its_own_full_stops_is_understood() -> None:
    said = parse_sentence(sentence("answer of x", "A. B: expected c", "1. 2, seen 3", do="Look at it. Twice."))
    assert said is not None
    assert said.next == "Look at it. Twice."


def test_another_sentence_stays_whole() -> None:
    assert parse_sentence("Could not log in on oob-vm01: no route. Start it.") is None


def test_what_is_wrong_alike_is_gathered() -> None:
    alike = [sentence(f"protection of {name}", False, True) for name in ("a", "b")]
    points, steps = gather([*alike, sentence("order of a", 1, 2), "Could not log in."])
    assert [(point.whats, point.expected, point.said) for point in points] == [
        (("protection of a", "protection of b"), "yes", ""),
        (("order of a",), "2", ""),
        ((), "", "Could not log in."),
    ]
    assert steps == ("./invoke plan --site lab",)


@pytest.mark.parametrize(
    ("name", "guest", "said"),
    [
        ("test_sees_its_mac[metrics-vm01]", "metrics-vm01", "Sees its MAC"),
        ("test_has_a_virtio_nic[debian]", None, "Has a virtio NIC: debian"),
        ("test_runs_the_declared_debian", None, "Runs the declared Debian"),
        ("test_kvm_can_be_opened", None, "KVM can be opened"),
        ("test_carries[a[0]]", None, "Carries: a[0]"),
    ],
)
def test_a_check_is_said_as_its_promise(name: str, guest: str | None, said: str) -> None:
    assert promise_of(check("pass", name, guest=guest)) == said


def test_checks_are_said_once_a_spec() -> None:
    assert in_words(["test_is_on[a]", "test_is_on[b]", "test_is_up"]) == ("Is on: a, b", "Is up")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (report(), "1 promise is broken, 2 could not be looked at"),
        (report("pass", clauses=(clause("a.b", "pass"),)), "Every promise holds"),
        (report("pass", clauses=(clause("a.b", "waived"),)), "Nothing is broken"),
        (report("unknown", clauses=(clause("a.b", "pending"),)), "1 promise pending"),
        (report("fail", clauses=(clause("a.b", "unasserted"),)), "1 promise is asserted by no spec"),
        (report("unknown", clauses=(clause("a.b", "pass"),)), "The run is not whole"),
    ],
)
def test_the_headline_says_it_in_numbers(value: Report, said: str) -> None:
    assert in_short(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (86400 * 12, "12 days ago"), (-5, "just now")],
)
def test_ages(seconds: int, said: str) -> None:
    assert age(STARTED, STARTED + timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(("days", "said"), [(9, "10 days left"), (0, "its last day"), (-1, "over for 1 day")])
def test_what_is_left_of_a_waiver(days: int, said: str) -> None:
    assert days_left(TODAY + timedelta(days=days), TODAY) == said


@pytest.mark.parametrize(("seconds", "said"), [(3.44, "3.4 s"), (99.9, "99.9 s"), (125, "2 min 05 s")])
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said
