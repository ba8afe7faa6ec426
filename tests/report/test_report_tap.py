"""TAP 14 of a run, as a consumer reads it line by line."""

from __future__ import annotations

import re

import yaml

from harness.report.tap import render_tap
from tests.report.values import check, clause, report

POINT = re.compile(r"(?P<ok>ok|not ok) (?P<number>\d+) - (?P<what>(?:\\.|[^\\#])*?)(?: # (?P<directive>\w+) .*)?")


def points(text: str, indent: str = "") -> list[tuple[str, str, str | None]]:
    """ok or not, description and directive of each test point at that depth; the plan must be kept."""
    lines = [line.removeprefix(indent) for line in text.splitlines() if line.startswith(indent)]
    found = [match for line in lines if (match := POINT.fullmatch(line))]
    if not indent:
        (plan,) = (int(line[3:]) for line in lines if re.fullmatch(r"1\.\.\d+", line))
        assert [int(match["number"]) for match in found] == list(range(1, plan + 1))
    return [(match["ok"], match["what"], match["directive"]) for match in found]


def test_each_clause_is_a_point() -> None:
    text = render_tap(report())
    assert text.startswith("TAP version 14\n")
    assert [(ok, what.partition(":")[0], directive) for ok, what, directive in points(text)] == [
        ("ok", "network.bridge", None),
        ("not ok", "network.dns", None),
        ("not ok", "network.address", None),
        ("not ok", "identity.mac-seen", None),
        ("ok", "hardware.memory", "SKIP"),
        ("not ok", "hardware.nic", None),
        ("not ok", "backup.recent", "TODO"),
    ]


def test_its_checks_are_a_subtest_before_it() -> None:
    head, _, _ = render_tap(report()).partition("\nnot ok 2 - network.dns")
    subtest = head.rpartition("# Subtest: ")[2]
    assert subtest.splitlines()[:2] == ["network.dns", "    1..2"]
    assert [ok for ok, _, _ in points(subtest, "    ")] == ["not ok", "ok"]


def test_what_is_wrong_follows_as_yaml() -> None:
    text = render_tap(report())
    block = re.search(r"^not ok 3 [^\n]*\n  ---\n(.*?)\n  \.\.\.$", text, re.M | re.S)
    assert block is not None
    assert yaml.safe_load(block[1]) == {
        "verdict": "unknown",
        "message": "Could not log in",
        "severity": "major",
        "source": "VS",
    }


def test_a_hash_in_a_name_is_no_directive() -> None:
    odd = clause("network.dns", "pass", check("pass", name="test_it[a#b]"))
    assert points(render_tap(report("pass", clauses=(odd,))), "    ")[0] == ("ok", r"test_it[a\#b]", None)


def test_a_run_that_is_not_whole_bails_out() -> None:
    assert render_tap(report(problems=("The run\nended early.",))).endswith("\nBail out! The run ended early.\n")
