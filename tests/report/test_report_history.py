"""The runs of a site that are kept, and what a report finds there."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from harness.engine.events import GuestResult
from harness.errors import Invalid, Missing
from harness.report import history
from harness.report.background import look_back
from harness.report.builds import read_builds, remember_builds
from harness.report.model import Overall, Report
from harness.report.reading import HEAD_BYTES
from tests.report.values import STARTED, report


def run(hours: float, verdict: Overall = "pass") -> Report:
    return replace(report(verdict), started_at=STARTED + timedelta(hours=hours))


def names(state_dir: Path) -> list[str]:
    return [kept.name for kept in history.look(state_dir).runs]


def test_runs_are_kept_under_the_time_they_started(tmp_path: Path) -> None:
    history.keep(tmp_path, run(2))
    history.keep(tmp_path, run(0))
    history.keep(tmp_path, run(0))
    assert names(tmp_path) == ["2026-11-22T09-00-00Z", "2026-11-22T09-00-00Z-2", "2026-11-22T11-00-00Z"]


def test_a_run_that_is_written_over_is_read_anew(tmp_path: Path) -> None:
    file = history.keep(tmp_path, run(0))
    assert history.look(tmp_path).runs[0].run.verdict == "pass"
    file.write_text(file.read_text().replace('"verdict":"pass"', '"verdict":"fail"'))
    assert history.look(tmp_path).runs[0].run.verdict == "fail"
    file.unlink()
    assert names(tmp_path) == []


def test_they_do_not_grow_without_end_and_the_last_green_stays(tmp_path: Path) -> None:
    history.keep(tmp_path, run(0))
    history.keep(tmp_path, run(1))
    for number in range(history.KEPT + 3):
        history.keep(tmp_path, run(2 + number, "fail"))
    kept = history.look(tmp_path)
    assert len(kept.runs) == history.KEPT + 1
    assert kept.last_green is not None
    assert kept.runs[0] == kept.last_green
    assert kept.runs[0].run.started_at == STARTED + timedelta(hours=1)


@pytest.mark.parametrize(
    ("name", "hour"),
    [("last", 3), ("previous", 2), ("green", 1), ("2026-11-22T11", 2)],
)
def test_a_run_is_found_by_name(tmp_path: Path, name: str, hour: int) -> None:
    for number, verdict in enumerate(("pass", "pass", "fail", "unknown")):
        history.keep(tmp_path, run(number, verdict))  # type: ignore[arg-type]
    assert history.look(tmp_path).find(name).started_at == STARTED + timedelta(hours=hour)


def test_a_run_is_found_by_its_file(tmp_path: Path) -> None:
    file = history.keep(tmp_path, run(0))
    assert history.History(tmp_path).find(str(file)).site == "lab"


@pytest.mark.parametrize(("name", "words"), [("2025", "there is none"), ("2026", "2 runs start with it")])
def test_a_name_that_is_nobodys_is_said(tmp_path: Path, name: str, words: str) -> None:
    history.keep(tmp_path, run(0))
    history.keep(tmp_path, run(1))
    with pytest.raises(Missing, match=words):
        history.look(tmp_path).find(name)


def test_a_damaged_run_hides_no_other(tmp_path: Path) -> None:
    history.keep(tmp_path, run(0)).with_name("2026-11-21T00-00-00Z.json").write_text("{")
    found = history.look(tmp_path)
    assert len(found.runs) == 1
    assert "2026-11-21T00-00-00Z.json" in found.unreadable[0]


def test_of_an_earlier_run_only_its_head_is_read(tmp_path: Path) -> None:
    """There may be thirty, each with a megabyte of evidence."""
    file = history.keep(tmp_path, run(0))
    file.write_text(file.read_text().replace('"clauses":[', '"clauses":[' + " " * HEAD_BYTES + "no JSON"))
    assert names(tmp_path) == [file.stem]
    with pytest.raises(Invalid, match=file.name):
        history.look(tmp_path).find("last")


def test_a_run_that_was_cut_off_is_none(tmp_path: Path) -> None:
    file = history.keep(tmp_path, run(0))
    file.write_text(file.read_text()[:-2])
    found = history.look(tmp_path)
    assert found.runs == ()
    assert file.name in found.unreadable[0]


def test_a_head_in_another_order_is_found_too(tmp_path: Path) -> None:
    file = history.keep(tmp_path, run(0))
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({"clauses": kept.pop("clauses"), "padding": " " * HEAD_BYTES, **kept}) + "\n")
    assert names(tmp_path) == [file.stem]


def test_a_report_looks_back_from_its_own_time(tmp_path: Path) -> None:
    for number, verdict in enumerate(("pass", "fail", "pass")):
        history.keep(tmp_path, run(number, verdict))  # type: ignore[arg-type]
    found = look_back(tmp_path, run(1, "fail"))
    assert [one.started_at for one in found.earlier] == [STARTED]
    assert found.since is not None
    assert found.since.before_at == STARTED
    assert look_back(tmp_path, run(0)).since is None


def test_a_background_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    (tmp_path / "builds.json").write_text("[{}]")
    found = look_back(tmp_path, run(0))
    assert found.builds == ()
    assert "builds.json" in found.notes[0]


def built(guest: str, **seconds: float) -> GuestResult:
    return GuestResult(guest, 130, "created", "linked", dict(seconds))  # type: ignore[arg-type]


def test_the_last_build_of_each_vm_is_kept(tmp_path: Path) -> None:
    later = STARTED + timedelta(hours=1)
    remember_builds(tmp_path, [built("a", clone=1.0), built("b", clone=2.0)], STARTED)
    remember_builds(tmp_path, [built("b", clone=3.0), GuestResult("c", 132, seconds={"clone": 9.0})], later)
    kept = {build.guest: (build.at, build.total_s) for build in read_builds(tmp_path)}
    assert kept == {"a": (STARTED, 1.0), "b": (later, 3.0)}, "c failed"


def test_a_run_that_made_nothing_writes_nothing(tmp_path: Path) -> None:
    remember_builds(tmp_path, [], datetime.now().astimezone())
    assert list(tmp_path.iterdir()) == []


def test_damaged_times_are_said_and_written_anew(tmp_path: Path) -> None:
    (tmp_path / "builds.json").write_text("no JSON")
    with pytest.raises(Invalid, match="Remove that file"):
        read_builds(tmp_path)
    remember_builds(tmp_path, [built("a", clone=1.0)], STARTED)
    assert [build.guest for build in read_builds(tmp_path)] == ["a"]
