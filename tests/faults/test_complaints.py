"""What is held against a run that should have found a fault: everything too much, too little, or not well said."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest

from harness.report.model import ClauseResult, Overall, Verdict
from tests.faults.bench import Look
from tests.faults.fault import Fault, complaints, red_specs
from tests.report.values import check, clause, report

HERE = "tests/faults/test_complaints.py:1"
SAID = (
    f"PTR 198.18.99.30: expected metrics-vm01, seen wrong. Declared at {HERE}. Next: ./invoke router.check --site lab"
)
FAULT = Fault("PTR wrong", ("network.dns",), "seen wrong", lambda _: nullcontext())
BLIND = replace(FAULT, unknown=("network.address",))
PASSES = clause("network.bridge", "pass", check("pass"))


def red(clause_id: str = "network.dns", message: str = SAID) -> ClauseResult:
    return clause(clause_id, "fail", check("fail", message=message), check("pass"), message=message)


def grey(clause_id: str = "network.address", verdict: Verdict = "unknown") -> ClauseResult:
    return clause(clause_id, verdict, check(verdict, message="Could not log in"))


def look(*clauses: ClauseResult, verdict: Overall = "fail", printed: str = "") -> Look:
    return Look(report(verdict, clauses), printed)


def test_a_fault_that_is_found_alone_and_told_well_is_found() -> None:
    assert complaints(FAULT, look(PASSES, red())) == []
    assert complaints(BLIND, look(PASSES, red(), grey(), verdict="unknown")) == []


@pytest.mark.parametrize(
    ("fault", "seen", "words"),
    [
        (FAULT, look(PASSES, clause("network.dns", "pass"), verdict="pass"), "network.dns should be fail, and is pass"),
        (FAULT, look(red(), red("network.reachable")), "network.reachable should be pass, and is fail: PTR"),
        (FAULT, look(red(), grey(), verdict="unknown"), "network.address should be pass, and is unknown: Could"),
        (FAULT, look(red(), grey("hardware.nic", "pending")), "hardware.nic should be pass, and is pending"),
        (FAULT, look(red(), verdict="unknown"), "the exit status should be 1, and is 2"),
        (BLIND, look(red(), clause("network.address", "pass")), "network.address should be unknown, and is pass"),
        (FAULT, look(red(message=SAID.replace("wrong", "none"))), "network.dns does not say 'seen wrong', but: PTR"),
        (FAULT, look(red(message="PTR is wrong: seen wrong")), "expected, seen, where declared and what next"),
        (FAULT, look(red(message=SAID.replace(".py:1", ".py:9999"))), "there is no line 9999 in tests/faults"),
        (FAULT, look(red(message=SAID.replace(HERE, "inventory/no.yml:1"))), "there is no line 1 in inventory/no.yml"),
        (FAULT, look(red(message=SAID.replace("router.check", "router.chek"))), "there is no command router.chek"),
        (FAULT, look(red(), printed="Traceback (most recent call last)"), "Traceback is said"),
        (FAULT, look(red(message=f"{SAID} The spec itself broke")), "The spec itself broke is said"),
    ],
)
def test_anything_else_is_told(fault: Fault, seen: Look, words: str) -> None:
    assert any(words in text for text in complaints(fault, seen)), complaints(fault, seen)


def test_an_ended_waiver_speaks_for_its_clause() -> None:
    said = f"The waiver ended on 2026-11-21 ({HERE}): a bench. Keep the promise, or renew the waiver."
    ended = clause("network.dns", "fail", check("pass"), message=said)
    assert complaints(replace(FAULT, says="The waiver ended"), look(ended)) == []


def test_a_spec_is_red_whatever_it_ran_for() -> None:
    failed = check("fail", name="test_resolves[logs-vm01]")
    assert red_specs(look(clause("network.dns", "fail", check("pass", name="test_other"), failed))) == {"test_resolves"}
