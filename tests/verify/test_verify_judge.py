"""Verdicts as tables: checks and waivers in, one word out."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from harness.contract import Declared, Waiver
from harness.report.model import Check, ClauseResult, Verdict
from harness.verify.clauses import Clause
from harness.verify.judge import judge_clause, judge_run, show_waivers

TODAY = date(2026, 11, 22)
CLAUSE = Clause("network.dns", "network", "Names", "Names resolve.", ("net",), "VS", "major")
PLACE = Declared(Path("inventory/lab/group_vars/all/mgmt.yml"), 7)
WAIVER = Waiver("network.dns", "no DNS on this bench", "ops", date(2026, 12, 1), PLACE)
ENDED = replace(WAIVER, until=date(2026, 11, 21))


def checks(*verdicts: Verdict) -> list[Check]:
    return [Check(f"test_{at}", verdict, None, f"{verdict} {at}", (), 0.1) for at, verdict in enumerate(verdicts)]


def judge(
    *verdicts: Verdict, waiver: Waiver | None = None, asserted: bool = True, complete: bool = True
) -> ClauseResult:
    return judge_clause(CLAUSE, checks(*verdicts), waiver=waiver, asserted=asserted, complete=complete, today=TODAY)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (("pass", "pass"), "pass"),
        (("pass", "fail"), "fail"),
        (("pass", "unknown"), "unknown"),
        (("unknown", "fail"), "fail"),
        (("pending", "pass"), "pending"),
        (("pending", "unknown"), "unknown"),
        (("pending", "fail"), "fail"),
        ((), "unknown"),
    ],
)
def test_the_gravest_check_decides(seen: tuple[Verdict, ...], verdict: Verdict) -> None:
    assert judge(*seen).verdict == verdict


def test_a_clause_without_any_spec_is_unasserted_and_says_so() -> None:
    for result in (judge(asserted=False), judge(asserted=False, waiver=WAIVER)):
        assert result.verdict == "unasserted"
        assert result.message.startswith("No spec asserts this promise.")


def test_nothing_looked_at_is_no_pass() -> None:
    assert "proves nothing" in judge().message


def test_the_message_is_the_first_of_the_gravest_and_counts_the_others() -> None:
    assert judge("pass", "fail", "fail", "unknown").message == "fail 1 (and 1 more)"


@pytest.mark.parametrize("seen", [("fail",), ("unknown",), ("pending",), ("pass", "fail")])
def test_a_waiver_in_force_waives_whatever_its_checks_say_and_shows_it(seen: tuple[Verdict, ...]) -> None:
    result = judge(*seen, waiver=WAIVER)
    assert result.verdict == "waived"
    assert result.message == f"no DNS on this bench (until 2026-12-01; its checks say: {seen[-1]})"
    assert [check.verdict for check in result.checks] == list(seen)


def test_a_waiver_holds_on_its_last_day() -> None:
    assert judge("fail", waiver=replace(WAIVER, until=TODAY)).verdict == "waived"


def test_a_waiver_that_is_no_longer_needed_is_red_and_names_its_place() -> None:
    result = judge("pass", "pass", waiver=WAIVER)
    assert result.verdict == "fail"
    assert result.message.startswith("The waiver is no longer needed: all checks pass. It said: no DNS on this bench")
    assert result.message.endswith(f"Remove it: {PLACE}")


def test_a_part_of_the_checks_says_nothing_against_a_waiver() -> None:
    assert judge("pass", waiver=WAIVER, complete=False).verdict == "waived"


def test_a_promise_that_depends_on_the_machine_may_hold_and_stay_waived() -> None:
    assert judge("pass", waiver=replace(WAIVER, may_hold=True)).verdict == "waived"


@pytest.mark.parametrize("seen", [("fail",), ("unknown",)])
def test_an_ended_waiver_fails_its_clause_with_a_sentence(seen: tuple[Verdict, ...]) -> None:
    result = judge(*seen, waiver=ENDED)
    assert result.verdict == "fail"
    assert result.message.startswith(f"The waiver ended on 2026-11-21 ({PLACE}): no DNS on this bench.")
    assert "renew the waiver" in result.message


@pytest.mark.parametrize(
    ("clauses", "problems", "verdict"),
    [
        ([judge("pass")], (), "pass"),
        ([judge("pass"), judge("fail")], (), "fail"),
        ([judge("fail"), judge("unknown")], (), "unknown"),
        ([judge("fail", "unknown")], (), "unknown"),
        ([judge("pass"), judge("pending")], (), "unknown"),
        ([judge("pass"), judge(asserted=False)], (), "fail"),
        ([judge("pass"), judge("unasserted")], (), "pass"),  # a drill that was never run
        ([judge(asserted=False)], (), "unknown"),
        ([judge("fail", waiver=WAIVER)], (), "pass"),
        ([judge("unknown", waiver=WAIVER), judge("pass")], (), "pass"),
        ([judge("pass", waiver=ENDED)], (), "fail"),
        ([judge("pass", waiver=WAIVER)], (), "fail"),
        ([judge("unknown", waiver=ENDED)], (), "unknown"),
        ([judge("pass")], ("it ended early",), "unknown"),
        ([], (), "unknown"),
    ],
)
def test_a_verdict_with_holes_is_no_verdict(
    clauses: list[ClauseResult], problems: tuple[str, ...], verdict: str
) -> None:
    assert judge_run(clauses, problems) == verdict


def test_every_waiver_is_shown_with_its_place() -> None:
    shown = show_waivers([WAIVER, ENDED], TODAY)
    assert [(one.declared, one.expired) for one in shown] == [(str(PLACE), False), (str(PLACE), True)]
