"""What was measured: times by contender, what the servers counted, and which goals that reaches. Values and JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.critical_path import CriticalPath

FORMAT = 1


@dataclass(frozen=True)
class Cost:
    """What one run cost the servers, as they counted it; None where a server keeps no such count."""

    api_calls: int | None
    api_writes: int | None
    ssh_logins: int | None
    ssh_commands: int | None


@dataclass(frozen=True)
class Run:
    """One timed run; `checks` is how many assertions it made, 0 where it makes none, `path` PVE's share where it made
    VMs."""

    seconds: float
    checks: int
    cost: Cost
    path: CriticalPath | None = None


@dataclass
class Results:
    """Every run by contender, in the order in which they were first taken."""

    site: str
    latency: str
    guests: int
    runs: dict[str, list[Run]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)  # contender -> why it was not run
    failed: dict[str, str] = field(default_factory=dict)  # contender -> what it said; its time means nothing

    def add(self, name: str, run: Run) -> None:
        self.runs.setdefault(name, []).append(run)

    def count(self, name: str) -> int:
        return len(self.runs.get(name, ()))

    def median(self, name: str) -> float | None:
        """Seconds; None where it was never run."""
        return statistics.median(run.seconds for run in self.runs[name]) if self.runs.get(name) else None

    def cost(self, name: str) -> Cost:
        """The median of each count."""
        return Cost(*(_median(getattr(run.cost, key) for run in self.runs[name]) for key in Cost.__annotations__))

    def stretch(self, name: str) -> float | None:
        """How many times as long as the critical path of PVE's tasks in the same run; the median."""
        found = [run.seconds / run.path.seconds for run in self.runs.get(name, ()) if run.path is not None]
        return statistics.median(found) if found else None

    def path(self, name: str) -> CriticalPath | None:
        """That of the run in the middle, by its length."""
        found = [run.path for run in self.runs.get(name, ()) if run.path is not None]
        return sorted(found, key=lambda path: path.seconds)[(len(found) - 1) // 2] if found else None

    def ratio(self, name: str, to: str) -> float | None:
        """How many times as long as `to` it took."""
        mine, other = self.median(name), self.median(to)
        return mine / other if mine is not None and other else None


def _median(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return round(statistics.median(known)) if known else None


@dataclass(frozen=True)
class Goal:
    """A promise about a figure; `seen` is None where what it needs was not run."""

    said: str
    seen: float | None
    bound: float
    at_least: bool = False

    @property
    def reached(self) -> bool | None:
        if self.seen is None:
            return None
        return self.seen >= self.bound if self.at_least else self.seen <= self.bound

    def __str__(self) -> str:
        shown = "not measured" if self.seen is None else f"{self.seen:.2f}"
        return f"{self.said}: {shown} ({'>=' if self.at_least else '<='} {self.bound:g})"


def judge(results: Results) -> tuple[Goal, ...]:
    """The figures to reach, on whatever was measured."""
    ratio, median = results.ratio, results.median
    verify = results.cost("verify") if results.count("verify") else Cost(None, None, None, None)
    again = results.cost("provision-again") if results.count("provision-again") else Cost(None, None, None, None)
    goals = [
        Goal("verify, times the floor", ratio("verify", "floor"), 1.5),
        Goal("API calls of verify", verify.api_calls, 15 + 3 * results.guests),
        Goal("SSH commands of verify", verify.ssh_commands, results.guests + 2),
        Goal("testinfra with a control path, times verify", ratio("testinfra", "verify"), 5, at_least=True),
        Goal("Ansible's asserts, times verify", ratio("ansible", "verify"), 20, at_least=True),
        Goal("provision, times the critical path of PVE's tasks", results.stretch("provision-recorded"), 1.2),
        Goal("Ansible's provisioning, times provision", ratio("ansible-provision", "provision"), 4, at_least=True),
        Goal("write calls of the second provision", again.api_writes, 0),
        Goal(
            "Ansible's second run, times provision's",
            ratio("ansible-provision-again", "provision-again"),
            15,
            at_least=True,
        ),
    ]
    if results.latency == "lan":
        goals.append(Goal("seconds of verify at lan latency", median("verify"), 3))
    return tuple(goals)


def write_json(results: Results, file: Path, goals: Iterable[Goal] = ()) -> None:
    """In one step: whoever goes on from it later finds whole results."""
    medians = {name: results.median(name) for name in results.runs}
    told = [{**asdict(goal), "reached": goal.reached} for goal in goals]
    text = json.dumps({"format": FORMAT, **asdict(results), "medians": medians, "goals": told}, indent=1)
    unfinished = file.with_name(f"{file.name}.new")
    unfinished.write_text(text + "\n")
    unfinished.replace(file)


def read_json(file: Path) -> Results:
    """What `write_json` kept; ValueError when it is something else."""
    kept: Mapping[str, Any] = json.loads(file.read_text())
    if kept.get("format") != FORMAT:
        raise ValueError(f"{file} holds no benchmark results of this version")
    runs = {
        name: [Run(run["seconds"], run["checks"], Cost(**run["cost"]), _path(run.get("path"))) for run in taken]
        for name, taken in kept["runs"].items()
    }
    return Results(kept["site"], kept["latency"], kept["guests"], runs)


def _path(kept: Mapping[str, float] | None) -> CriticalPath | None:
    """Runs of earlier versions have none."""
    return CriticalPath(**kept) if kept else None
