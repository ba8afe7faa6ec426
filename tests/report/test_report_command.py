"""`report`: the last run again in any form, the list of runs, and what changed between two."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from harness.commands.report import ReportOptions, report
from harness.report import history
from harness.report.model import Overall, Report
from tests.report import values


def run(hours: int, verdict: Overall) -> Report:
    shown = values.report(verdict) if verdict != "pass" else values.report("pass", clauses=values.CLAUSES[:1])
    return replace(shown, started_at=values.STARTED + timedelta(hours=hours))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three runs: green, broken, green again."""
    monkeypatch.setenv("MGMT_HARNESS_STATE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    for number, verdict in enumerate(("pass", "unknown", "pass")):
        history.keep(tmp_path / "lab", run(number, verdict))  # type: ignore[arg-type]
    return tmp_path


def test_the_last_report_is_made_again(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("lab", ReportOptions()) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file == state / "lab/reports/report.html"
    assert "Every promise holds" in file.read_text()


def test_an_older_one_leaves_the_last_in_its_place(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("lab", ReportOptions(run="previous")) == 0
    file = Path(capsys.readouterr().out.strip())
    assert file.name == "2026-11-22T10-00-00Z.html"
    assert "could not be looked at" in file.read_text()


def test_any_form_is_made_of_a_kept_run(state: Path) -> None:
    files = {kind: state / f"run.{kind}" for kind in ("json", "junit", "tap", "prom")}
    assert report("lab", ReportOptions(run="2026-11-22T10", files=files)) == 0
    assert json.loads(files["json"].read_text())["verdict"] == "unknown"
    assert "<testsuites>" in files["junit"].read_text()
    assert files["tap"].read_text().startswith("TAP version 14")
    assert 'mgmt_contract_exit_status{site="lab"} 2' in files["prom"].read_text()
    assert not (state / "lab/reports/report.html").exists(), "nobody asked for a page"


def test_the_runs_are_listed_newest_first(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("lab", ReportOptions(list=True)) == 0
    names = re.findall(r"^(\S+)  (\S+)", capsys.readouterr().out, re.M)
    assert names == [
        ("2026-11-22T11-00-00Z", "pass"),
        ("2026-11-22T10-00-00Z", "unknown"),
        ("2026-11-22T09-00-00Z", "pass"),
    ]


@pytest.mark.parametrize("asked", ["2026-11-22T09..previous", "2026-11-22T09 previous"])
def test_two_runs_are_compared(state: Path, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    assert report("lab", ReportOptions(compare=asked)) == 1
    said = capsys.readouterr().out
    assert re.search(r"\(pass\) -> 2026-11-22 \d\d:00:00 \(unknown\)\n", said)
    assert "  network.dns: not there -> broken\n    wrong now: test_it[metrics-vm01]\n    PTR <wrong>\n" in said


def test_better_is_no_failure_and_the_same_is_said(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("lab", ReportOptions(compare="previous..last")) == 0
    assert report("lab", ReportOptions(compare="last")) == 0
    assert "Nothing changed." in capsys.readouterr().out


def test_green_is_the_green_run_before_the_other(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report("lab", ReportOptions(compare="green..last")) == 0
    moments = re.findall(r"2026-11-22 (\d\d):00:00 \(pass\)", capsys.readouterr().out)
    assert int(moments[1]) - int(moments[0]) == 2


def test_a_comparison_can_be_a_page(state: Path) -> None:
    page = state / "compared.html"
    report("lab", ReportOptions(compare="previous..last", files={"html": page}))
    assert "Since the run, 1 hour ago" in page.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ReportOptions(run="1999"), "Could not find the run '1999'"),
        (ReportOptions(compare="..last"), "it names no run to start from"),
        (ReportOptions(run="last", compare="green..last"), "both were given"),
        (ReportOptions(run="/nowhere/run.json"), "there is no such file"),
    ],
)
def test_a_wrong_request_is_a_sentence(
    state: Path, capsys: pytest.CaptureFixture[str], options: ReportOptions, words: str
) -> None:
    assert report("lab", options) == 2
    assert words in capsys.readouterr().err


def test_without_a_run_it_says_what_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MGMT_HARNESS_STATE", str(tmp_path))
    assert report("lab", ReportOptions()) == 2
    assert "Run ./invoke verify" in capsys.readouterr().err
    assert report("lab", ReportOptions(list=True)) == 0
