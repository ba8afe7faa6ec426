"""The JSON of a run: the agreed shape, every check with its evidence, nothing that is a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import harness.report
from harness.errors import Invalid
from harness.evidence import Evidence
from harness.report.model import Check, Overall, Report, render_json
from harness.report.reading import read_report, read_run
from tests.report.values import clause, report

SCHEMA = json.loads((Path(harness.report.__file__).parent / "schema.json").read_text())
AT = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def plain(value: Report) -> dict[str, Any]:
    return dict(json.loads(json.dumps(render_json(value))))


def test_it_validates_against_the_published_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(plain(report()), SCHEMA)
    jsonschema.validate(plain(replace(report(), network=None, drills=(), guests=(), waivers=())), SCHEMA)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("verdict", "waived"), ("format", 2), ("started_at", "yesterday"), ("clauses", [{"id": "x"}]), ("network", {})],
)
def test_the_schema_refuses_what_is_none(key: str, wrong: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain(report()) | {key: wrong}, SCHEMA)


def test_the_schema_knows_every_key_there_is() -> None:
    assert sorted(unknown_to(SCHEMA, plain(report()), "")) == []


def unknown_to(schema: dict[str, Any], value: object, where: str) -> Iterator[str]:
    """The keys of `value` that the schema does not speak of."""
    schema = resolved(schema)
    if isinstance(value, dict) and "properties" in schema:
        for key, part in value.items():
            if key not in schema["properties"]:
                yield f"{where}.{key}"
            else:
                yield from unknown_to(schema["properties"][key], part, f"{where}.{key}")
    if isinstance(value, list):
        for part in value:
            yield from unknown_to(schema["items"], part, where)


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    schema = schema.get("oneOf", [schema])[0]
    return dict(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]) if "$ref" in schema else schema


def test_a_run_read_back_is_the_same_run(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(render_json(report())))
    again = read_report(file)
    assert plain(again) == plain(report())
    assert (again.started_at, again.clauses[1].checks[0].evidence) == (AT, report().clauses[1].checks[0].evidence)
    assert read_run(file).counts == report().counts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no result of verify"),
        ('{"format": 1}', "site: Field required"),
        (json.dumps(render_json(report()) | {"format": 2}), "it has format 2, and this tool reads 1"),
        (json.dumps(render_json(report()) | {"clauses": [{}]}), "clauses.0.id: Field required"),
    ],
)
def test_what_is_no_run_is_said_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(Invalid, match=re.escape(words)):
        read_report(file)


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
