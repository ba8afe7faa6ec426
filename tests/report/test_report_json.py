"""The JSON of a run: the agreed shape, every check with its evidence, nothing that is a secret."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from harness.evidence import Evidence
from harness.report.model import VERDICTS, Check, Overall, render_json
from tests.report.values import clause, report

VERDICT = {"enum": list(VERDICTS)}
FACT = {
    "type": "object",
    "required": ["source", "asked", "answered", "at"],
    "properties": {"source": {"type": "string"}, "at": {"type": "number"}},
}
CHECK = {
    "type": "object",
    "required": ["name", "verdict", "guest", "message", "evidence", "seconds"],
    "properties": {
        "verdict": VERDICT,
        "guest": {"type": ["string", "null"]},
        "seconds": {"type": "number"},
        "evidence": {"type": "array", "items": FACT},
    },
}
CLAUSE = {
    "type": "object",
    "required": ["id", "verdict", "checks"],
    "properties": {"verdict": VERDICT, "checks": {"type": "array", "items": CHECK}},
}
CHAIN = {
    "type": "object",
    "required": ["guest", "held", "broken_at", "verdict", "said"],
    "properties": {"held": {"type": "array", "items": {"type": "string"}}, "broken_at": {"type": ["string", "null"]}},
}
SHAPE = {
    "type": "object",
    "required": [
        "site",
        "verdict",
        "clauses",
        "counts",
        "api_calls",
        "ssh_trips",
        "seconds",
        "started_at",
        "waivers",
        "chains",
        "retries",
    ],
    "properties": {
        "verdict": {"enum": ["pass", "fail", "unknown"]},
        "clauses": {"type": "array", "items": CLAUSE, "minItems": 1},
        "counts": {"type": "object", "required": list(VERDICTS), "additionalProperties": {"type": "integer"}},
        "api_calls": {"type": "integer"},
        "ssh_trips": {"type": "integer"},
        "seconds": {"type": "number"},
        "started_at": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"},
        "waivers": {"type": "array"},
        "chains": {"type": "array", "items": CHAIN, "minItems": 1},
        "retries": {"type": "array", "items": {"type": "string"}},
    },
}


def test_it_has_the_agreed_shape() -> None:
    jsonschema.validate(json.loads(json.dumps(render_json(report()))), SHAPE)


def test_counts_are_of_clauses() -> None:
    counts = render_json(report())["counts"]
    assert counts == {"pass": 1, "fail": 1, "unknown": 2, "waived": 1, "pending": 1, "unasserted": 1}


def test_evidence_stands_at_a_check_that_passed_too() -> None:
    passed = render_json(report())["clauses"][0]["checks"][0]
    assert passed["verdict"] == "pass"
    assert passed["evidence"][0]["asked"] == "PTR 198.18.99.30 at 198.18.99.1"


@pytest.mark.parametrize(("verdict", "status"), [("pass", 0), ("fail", 1), ("unknown", 2)])
def test_the_verdict_is_the_exit_status(verdict: Overall, status: int) -> None:
    assert report(verdict).exit_status == status


def test_a_secret_never_gets_as_far_as_a_report() -> None:
    evidence = Evidence()
    fact = evidence.record("api", "GET /x PVEAPIToken=verify@pve!harness=11111111-2222", '{"password": "hunter2"}')
    shown = json.dumps(render_json(report(clauses=(clause("network.dns", "pass", _with(fact)),))))
    assert "11111111" not in shown
    assert "hunter2" not in shown


def _with(fact: object) -> Check:
    return Check("test_it", "pass", None, "", (fact,), 0.1)  # type: ignore[arg-type]


def test_what_was_asked_again_is_told() -> None:
    again = "GET /version: PVE's proxy lost the answer (596 Broken pipe); asked again"
    assert render_json(replace(report(), retries=(again,)))["retries"] == [again]
