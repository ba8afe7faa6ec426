"""Contenders run in turns, go on where an earlier run was cut off, and end in time."""

from __future__ import annotations

from benchmarks.results import Cost, Results, Run
from benchmarks.turns import Bounds, Contender, Failed, take_turns


class Servers:
    """Count a call for each run."""

    def start(self) -> None:
        self.since = 0

    def read(self) -> Cost:
        return Cost(1, 0, 0, 0)

    def read_path(self) -> None:
        return None


def turns(names: str, bounds: Bounds, results: Results) -> tuple[list[str], list[int], list[str]]:
    """Who ran, how much was kept each time, and what was told."""
    ran: list[str] = []
    kept: list[int] = []
    told: list[str] = []

    def run(name: str) -> str:
        ran.append(name)
        return "7 passed"

    contenders = [Contender(name, name, lambda name=name: run(name), count_checks=lambda _: 7) for name in names]  # type: ignore[misc]
    take_turns(
        contenders,
        bounds,
        results,
        Servers(),
        keep=lambda found: kept.append(sum(found.count(name) for name in names)),
        tell=told.append,
    )
    return ran, kept, told


def test_each_has_its_turn_before_anybody_has_a_second() -> None:
    ran, kept, _ = turns("abc", Bounds(2, 600), results := Results("lab", "lan", 10))
    assert ran == [*"abcabc"]
    assert kept == [1, 2, 3, 4, 5, 6]  # whoever is cut off keeps what was measured
    assert results.runs["a"][0].checks == 7
    assert results.runs["a"][0].cost.api_calls == 1


def test_what_is_measured_is_not_measured_again() -> None:
    results = Results("lab", "lan", 10)
    for name in "aab":
        results.add(name, Run(1.0, 0, Cost(None, None, None, None)))
    ran, _, _ = turns("abc", Bounds(2, 600), results)
    assert ran == [*"cbc"]


def test_nobody_begins_a_second_turn_that_would_end_too_late() -> None:
    results = Results("lab", "lan", 10)
    results.add("a", Run(500.0, 0, Cost(None, None, None, None)))
    ran, _, told = turns("ab", Bounds(2, 400), results)
    assert ran == [*"bb"]
    assert "a: no time for run 2" in told


def test_what_takes_long_waits_for_what_is_short() -> None:
    results = Results("lab", "lan", 10)
    results.add("a", Run(40.0, 0, Cost(None, None, None, None)))
    ran, _, _ = turns("ab", Bounds(3, 600), results)
    assert ran == [*"bbbaa"]


def test_contender_that_fails_has_no_time_and_the_rest_go_on() -> None:
    def fail() -> str:
        raise Failed("it ended with 2")

    results, told = Results("lab", "lan", 10), list[str]()
    contenders = [Contender("a", "a", fail), Contender("b", "b", lambda: "")]
    take_turns(contenders, Bounds(2, 600), results, Servers(), keep=lambda _: None, tell=told.append)
    assert results.failed == {"a": "it ended with 2"}
    assert (results.count("a"), results.count("b")) == (0, 2)
    assert [line for line in told if line.startswith("a:")] == ["a: it ended with 2"]
