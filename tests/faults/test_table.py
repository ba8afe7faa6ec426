"""The table of faults is whole: each clause has one, and each is about clauses that exist."""

from __future__ import annotations

from collections import Counter

from harness.verify.clauses import load_clauses
from tests.faults.table import FAULTS
from tests.site.driver import ROOT

CLAUSES = load_clauses(ROOT / "specs/clauses.yml")


def test_every_clause_has_a_fault() -> None:
    assert set(CLAUSES.by_id) - {clause for fault in FAULTS for clause in fault.fails[:1]} == set()


def test_faults_are_about_clauses_that_exist() -> None:
    assert {clause for fault in FAULTS for clause in fault.clauses} <= set(CLAUSES.by_id)


def test_no_clause_has_two_verdicts() -> None:
    assert [fault.what for fault in FAULTS if len(set(fault.clauses)) != len(fault.clauses)] == []


def test_each_fault_has_a_name_of_its_own() -> None:
    assert [what for what, count in Counter(fault.what for fault in FAULTS).items() if count > 1] == []


def test_each_fault_is_told_by_words_of_its_own() -> None:
    assert [fault.what for fault in FAULTS if len(fault.says.split()) < 3] == []
