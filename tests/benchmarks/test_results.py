"""Figures are medians, goals are judged on what was measured, and results outlive the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.critical_path import CriticalPath
from benchmarks.results import Cost, Goal, Results, Run, judge, read_json, write_json

NOTHING = Cost(None, None, None, None)


def results(**seconds: list[float]) -> Results:
    made = Results("lab", "lan", 10)
    for name, values in seconds.items():
        for value in values:
            made.add(name.replace("_", "-"), Run(value, 0, Cost(45, 0, 12, 12)))
    return made


def test_median_is_of_all_runs_and_absent_where_there_was_none() -> None:
    made = results(verify=[3.0, 1.0, 2.0])
    assert made.median("verify") == 2.0
    assert made.median("floor") is None
    assert made.ratio("verify", "floor") is None


def test_cost_that_a_server_does_not_count_stays_unknown() -> None:
    made = Results("dvntm", "none", 10)
    made.add("verify", Run(1.0, 578, Cost(40, None, 12, None)))
    made.add("verify", Run(1.0, 578, Cost(44, None, 12, None)))
    assert made.cost("verify") == Cost(42, None, 12, None)


def goal(made: Results, said: str) -> Goal:
    return next(one for one in judge(made) if one.said == said)


@pytest.mark.parametrize(("seconds", "reached"), [(1.4, True), (1.5, True), (1.6, False)])
def test_verify_is_judged_by_the_floor(seconds: float, reached: bool) -> None:
    found = goal(results(floor=[1.0], verify=[seconds]), "verify, times the floor")
    assert found.reached is reached


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    found = goal(results(verify=[1.0]), "Ansible's asserts, times verify")
    assert found.reached is None
    assert "not measured" in str(found)


def path(start: float) -> CriticalPath:
    return CriticalPath(clone=0.0, configure=0.0, start=start, boot=0.0, backup=0.0, identity=0.5)


def test_provision_is_judged_by_what_pve_itself_took_in_the_same_run() -> None:
    made = Results("lab", "lan", 10)
    for seconds, pve in ((6.0, 2.0), (6.0, 5.0), (6.0, 4.0)):
        made.add("provision-recorded", Run(seconds, 0, NOTHING, path(pve)))
    found = goal(made, "provision, times the critical path of PVE's tasks")
    assert (found.seen, found.reached) == (1.5, False)
    assert made.path("provision-recorded") == path(4.0)
    assert made.stretch("verify") is None


def test_instant_tasks_judge_nobody_and_are_told_all_the_same() -> None:
    made = Results("lab", "lan", 10)
    made.add("provision", Run(6.0, 0, NOTHING, path(2.0)))
    found = goal(made, "provision, times the critical path of PVE's tasks")
    assert found.reached is None
    assert made.stretch("provision") == 3.0


def test_seconds_are_promised_at_lan_latency_alone() -> None:
    said = "seconds of verify at lan latency"
    near = results(verify=[2.0])
    assert goal(near, said).reached is True
    near.latency = "wan"
    assert said not in {one.said for one in judge(near)}


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    made = results(verify=[1.0, 2.0], ansible_provision=[40.0])
    made.add("provision", Run(5.0, 0, NOTHING, path(3.0)))
    write_json(made, tmp_path / "kept.json", judge(made))
    assert read_json(tmp_path / "kept.json") == made


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="no benchmark results of this version"):
        read_json(tmp_path / "kept.json")
