"""What changed between two runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from harness.report.compare import Kind, compare
from harness.report.model import Report, Verdict
from tests.report.values import GUESTS, WAIVER, check, clause, report


def run(verdict: Verdict | None, *wrong: str, clause_id: str = "network.dns") -> Report:
    """A run with one clause, whose checks on these guests are wrong."""
    if verdict is None:
        return report("pass", clauses=())
    bad: Verdict = "unknown" if verdict == "unknown" else "fail"
    checks = [check(bad if name in wrong else "pass", f"test_it[{name}]", guest=name) for name in ("a", "b", "c")]
    return report("pass", clauses=(clause(clause_id, verdict, *checks),))


def test_the_same_run_changed_nothing() -> None:
    assert compare(report(), report()).same


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (run("pass"), run("fail", "a"), "broken"),
        (run("pass"), run("unknown", "a"), "lost sight"),
        (run("fail", "a"), run("pass"), "mended"),
        (run("unknown", "a"), run("pass"), "mended"),
        (run("fail", "a"), run("waived", "a"), "mended"),
        (run("fail", "a"), run("fail", "a", "b"), "broken"),
        (run("fail", "a", "b"), run("fail", "a"), "mended"),
        (run("fail", "a"), run("unknown", "a"), "lost sight"),
        (run("waived", "a"), run("pass"), "other"),
        (run("unasserted"), run("pass"), "other"),
        (run("pass"), run(None), "other"),
        (run(None), run("fail", "a"), "broken"),
    ],
)
def test_each_turn_has_its_kind(before: Report, after: Report, kind: Kind) -> None:
    (turn,) = compare(before, after).turns
    assert turn.kind == kind


def test_a_turn_names_the_checks() -> None:
    (turn,) = compare(run("fail", "a", "b"), run("fail", "b", "c")).turns
    assert (turn.newly_wrong, turn.no_longer_wrong) == (("test_it[c]",), ("test_it[a]",))


def test_what_waived_checks_say_is_no_news() -> None:
    assert compare(run("waived", "a"), run("waived", "b")).same


def test_the_worst_comes_first_and_decides() -> None:
    before = replace(report(), clauses=(*run("fail", "a").clauses, *run("pass", clause_id="network.bridge").clauses))
    after = replace(report(), clauses=(*run("pass").clauses, *run("fail", "a", clause_id="network.bridge").clauses))
    found = compare(before, after)
    assert [turn.clause for turn in found.turns] == ["network.bridge", "network.dns"]
    assert found.worse
    assert not compare(after, after).worse


def test_a_selection_is_held_against_the_same_selection() -> None:
    whole = replace(report(), clauses=(*run("pass").clauses, *run("pass", clause_id="network.bridge").clauses))
    narrowed = compare(whole, run("fail", "a"), partial=True)
    assert [turn.clause for turn in narrowed.turns] == ["network.dns"]


def test_what_is_declared_otherwise_is_noted() -> None:
    moved = replace(GUESTS[0], address="198.18.99.77")
    later = replace(WAIVER, until=date(2027, 1, 1))
    other = replace(report(), guests=(moved,), waivers=(later, replace(WAIVER, clause="hardware.disk")))
    assert compare(report(), other).notes == (
        "logs-vm01 (VM 131) is declared no longer",
        "metrics-vm01: address 198.18.99.77 instead of 198.18.99.30",
        "hardware.disk is waived now: a lab",
        "the waiver of hardware.memory ends on 2027-01-01 instead of 2026-12-01",
    )
