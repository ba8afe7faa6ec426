"""What of the specs is asked for: clauses, profiles, guests, and pytest's own selection."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.contract import Service
from tests.verify.small_specs import CONTRACT, PASSES, Ended, Run


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clauses": ("network.dsn",)}, "no clause in"),
        ({"clauses": ("dns",)}, "Did you mean network.dns"),
        ({"guest": "metric-vm01"}, "it declares no guest 'metric-vm01'. Did you mean metrics-vm01"),
    ],
)
def test_a_wrong_request_is_refused_with_the_near_names(run: Run, options: dict[str, Any], words: str) -> None:
    ended = run(PASSES, **options)
    assert ended.report is None
    assert words in ended.err


def test_a_clause_can_be_asked_for_alone(run: Run) -> None:
    ended = run(
        f'{PASSES}\n@pytest.mark.clause("recovery.protected")\ndef test_off(): assert False', clauses=("network",)
    )
    assert ended.verdicts() == {"network.dns": "pass"}
    assert ended.status == 0


TWO = """
@pytest.mark.clause("network.dns")
def test_resolves(): pass
@pytest.mark.clause("recovery.protected")
def test_off(): assert False
"""


@pytest.mark.parametrize(
    ("options", "verdicts"),
    [
        ({"profile": "names"}, {"network.dns": "pass"}),
        ({"profile": "rebuilding"}, {"recovery.protected": "fail"}),
        ({"profile": "rebuilding", "clauses": ("recovery",)}, {"recovery.protected": "fail"}),
        ({"contract": replace(CONTRACT, authority="bootstrap")}, {"recovery.protected": "fail"}),
        (
            {"contract": replace(CONTRACT, authority="bootstrap"), "profile": "management"},
            {"network.dns": "pass", "network.address": "unasserted", "recovery.protected": "fail"},
        ),
    ],
)
def test_a_profile_is_a_view_that_says_nothing_of_the_rest(
    run: Run, options: dict[str, Any], verdicts: dict[str, str]
) -> None:
    assert run(TWO, every=True, **options).verdicts() == verdicts


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "tenants"}, "has no such profile. Name one of: management, names, rebuilding"),
        ({"profile": "names", "clauses": ("recovery",)}, "the profile names leaves it out"),
    ],
)
def test_a_wrong_profile_is_refused(run: Run, options: dict[str, Any], words: str) -> None:
    ended = run(TWO, every=True, **options)
    assert ended.report is None
    assert words in ended.err


def test_pytests_marks_choose_by_severity_and_evidence(run: Run) -> None:
    assert run(TWO, "-m", "major").verdicts() == {"network.dns": "pass"}
    assert run(TWO, "-m", "not net").verdicts() == {"recovery.protected": "fail"}


def test_a_spec_about_services_runs_for_each_and_is_silent_where_none_is_declared(run: Run) -> None:
    specs = """
        @pytest.mark.clause("network.dns")
        def test_every(guest, service): pass
        @pytest.mark.clause("network.dns")
        def test_with_health(guest, reporting): pass
        @pytest.mark.clause("network.dns")
        def test_guest(guest): pass
    """
    ends = Service("b.service", (80,), "http://metrics-vm01/health")
    first, second = CONTRACT.guests
    served = replace(CONTRACT, guests=(replace(first, services=(Service("a.service", (), None), ends)), second))
    assert names(run(specs, contract=served)) == [
        "test_every[metrics-vm01-a.service]",
        "test_every[metrics-vm01-b.service]",
        "test_with_health[metrics-vm01-b.service]",
        "test_guest[metrics-vm01]",
        "test_guest[logs-vm01]",
    ]


def names(ended: Ended) -> list[str]:
    assert ended.report is not None, ended.err
    return [check.name for clause in ended.report.clauses for check in clause.checks]


def test_only_unasserted_clauses_asked_for_is_no_pass(run: Run) -> None:
    assert run(PASSES, clauses=("recovery.protected",), every=True).status == 2


def test_a_guest_can_be_asked_for_alone(run: Run) -> None:
    ended = run(
        """
        @pytest.mark.clause("network.dns")
        def test_it(guest): pass
        @pytest.mark.clause("recovery.protected")
        def test_site(): assert False
        """,
        guest="logs-vm01",
    )
    assert ended.report is not None
    assert [check.guest for clause in ended.report.clauses for check in clause.checks] == ["logs-vm01"]
    assert "recovery.protected" not in ended.verdicts()  # it has a spec, which is about no guest: not selected


def test_pytests_own_selection_passes_through(run: Run) -> None:
    ended = run(f'{PASSES}\n@pytest.mark.clause("recovery.protected")\ndef test_off(): assert False', "-k", "resolves")
    assert ended.verdicts() == {"network.dns": "pass"}
