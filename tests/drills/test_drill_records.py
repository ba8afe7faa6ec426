"""A drill's record outlives it, and says of the promise what the last drill showed and nothing more."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.drills.record import Observation, Record, read_record, write_record
from harness.drills.standing import Standing, ago, judge, next_step
from harness.errors import Invalid
from tests import sites

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(days=3)
GOOD = Record(
    drill="reboot",
    clause="recovery.reboot",
    site="lab",
    began=BEFORE - timedelta(seconds=40),
    result="good",
    message="3 checks, all good",
    ended=BEFORE,
    seconds=40.0,
    evidence=(
        Observation(0.5, "before the drill", "3 VMs run"),
        Observation(31.0, "metrics-vm01 after the restart", "running", "running", good=True),
        Observation(32.0, "logs-vm01 after the restart", "stopped", "running", good=False),
    ),
    last_good=BEFORE,
)


def standing(record: Record | None, *, now: datetime = NOW) -> Standing:
    return judge("reboot", "recovery.reboot", record, now=now, max_age_days=90, do="./invoke drill reboot")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_record(tmp_path, GOOD)
    assert read_record(tmp_path, "reboot") == GOOD
    assert [path.name for path in (tmp_path / "drills").iterdir()] == ["reboot.json"]


def test_no_drill_is_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path, "reboot") is None


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": 2, "drill": "reboot"}', "{"])
def test_a_broken_record_is_said_and_never_taken_for_none(tmp_path: Path, text: str) -> None:
    write_record(tmp_path, GOOD)
    (tmp_path / "drills/reboot.json").write_text(text)
    with pytest.raises(Invalid, match=r"it is no record of a drill .*run the drill reboot again"):
        read_record(tmp_path, "reboot")


def test_a_young_good_one_is_good_and_its_age_is_said() -> None:
    found = standing(GOOD)
    assert (found.verdict, found.last_good) == ("good", BEFORE)
    assert "the last good drill reboot was 3 days ago" in found.said
    assert found.evidence[1] == "+   31.0 s metrics-vm01 after the restart: running"
    assert found.evidence[2].startswith("-   32.0 s logs-vm01")


CASES = {
    "never run": (None, "never", "has never been run here"),
    "too old": (
        replace(GOOD, last_good=NOW - timedelta(days=91)),
        "bad",
        "was 91 days ago .*, and at most 90 days are allowed",
    ),
    "failed after a good one": (
        replace(GOOD, result="bad", message="logs-vm01: expected running, seen stopped"),
        "bad",
        "failed: logs-vm01: expected running",
    ),
    "cut off": (replace(GOOD, result="unfinished", ended=None), "bad", "was cut off"),
    "interrupted after a good one": (replace(GOOD, result="interrupted"), "good", "3 days ago"),
    "interrupted and never good": (
        replace(GOOD, result="interrupted", last_good=None),
        "never",
        "never ran to its end",
    ),
}


@pytest.mark.parametrize(("record", "verdict", "said"), CASES.values(), ids=CASES)
def test_a_promise_is_judged_by_its_last_drill(record: Record | None, verdict: str, said: str) -> None:
    found = standing(record)
    assert found.verdict == verdict
    assert re.search(said, found.said), found.said
    assert found.do == "./invoke drill reboot"


def test_where_it_is_not_allowed_that_comes_first() -> None:
    home = replace(sites.contract(), site="dvnt", drills=frozenset({"reboot"}))
    assert next_step(home, "reboot") == "./invoke drill reboot --site dvnt"
    closed = replace(home, drills=frozenset())
    said = "Allow it in the inventory (mgmt_site.drills: [reboot]), then run ./invoke drill reboot --site dvnt"
    assert next_step(closed, "reboot") == said


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=20), "0 minutes"),
        (timedelta(seconds=61), "1 minute"),
        (timedelta(minutes=119), "119 minutes"),
        (timedelta(hours=47), "47 hours"),
        (timedelta(days=2), "2 days"),
        (timedelta(seconds=-5), "0 minutes"),  # a clock that was set back
    ],
)
def test_an_age_is_said_in_the_unit_a_reader_thinks_in(age: timedelta, said: str) -> None:
    assert ago(age) == said
