"""Time the path on the embedded lab command by command: python -m benchmarks.lab [--runs N] [--cold] [--json FILE]."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness import lab
from harness.lab.paths import CACHE

ROOT = Path(__file__).resolve().parent.parent

# Each median is to stay at or below this; seconds unless the name says otherwise.
GOALS = {
    "bare invoke, one task": None,
    "invoke --list": None,
    "invoke --list, times the bare one": 1.5,
    "lab.up, warm cache": 15,
    "bootstrap": 60,
    "bootstrap again": None,
    "provision 10 guests": 30,
    "provision again": None,
    "write calls of the second provision": 0,
    "verify": 15,
    "lab memory (MiB)": 600,
    "lab.down": None,
    "demo, warm": 60,
    "demo, cold": 360,
}


@dataclass
class Figures:
    """Every measured value by name, in the order they were first taken."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.taken.setdefault(name, []).append(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each command is timed (default 3)")
    parser.add_argument(
        "--cold", action="store_true", help="also time a demo without the lab's cache, which is deleted"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    asked = parser.parse_args()
    figures, out = Figures(), Console()
    with tempfile.TemporaryDirectory(prefix="mgmt-benchmark-") as state:
        commands = _Commands(Path(state), figures)
        if asked.cold:
            commands.run("lab.down")
            shutil.rmtree(CACHE, ignore_errors=True)
            commands.time("demo, cold", "demo")
        for number in range(asked.runs):
            out.print(f"run {number + 1} of {asked.runs}")
            commands.once()
    out.print(_table(figures))
    if asked.json:
        asked.json.write_text(json.dumps(figures.taken, indent=2) + "\n")
    return 0 if all(_reached(name, values) for name, values in figures.taken.items()) else 1


@dataclass(frozen=True)
class _Commands:
    """./invoke with a state folder of its own, each call timed as a whole process."""

    state: Path
    figures: Figures

    def once(self) -> None:
        self.run("lab.down")
        shutil.rmtree(self.state)
        self.state.mkdir()
        self.figures.add("bare invoke, one task", bare := _bare_invoke(self.state))
        self.time("invoke --list", "--list")
        self.figures.add("invoke --list, times the bare one", self.figures.taken["invoke --list"][-1] / bare)
        self.time("lab.up, warm cache", "lab.up")
        self.time("bootstrap", "bootstrap")
        self.time("bootstrap again", "bootstrap")
        self.time("provision 10 guests", "provision")
        lab.control({"op": "reset-counters"})
        self.time("provision again", "provision")
        self.figures.add("write calls of the second provision", lab.control({"op": "counters"})["result"]["writes"])
        self.time("verify", "verify")
        self.figures.add("lab memory (MiB)", lab.memory_mib())
        self.time("lab.down", "lab.down")
        self.time("demo, warm", "demo")

    def time(self, name: str, *arguments: str) -> None:
        started = time.monotonic()
        self.run(*arguments)
        self.figures.add(name, time.monotonic() - started)

    def run(self, *arguments: str) -> None:
        environment = {"MGMT_HARNESS_STATE": str(self.state), "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        ended = subprocess.run(
            [ROOT / "invoke", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            sys.exit(f"./invoke {' '.join(arguments)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


def _bare_invoke(folder: Path) -> float:
    """Seconds that Invoke itself takes to list a collection of one task."""
    (folder / "tasks.py").write_text("from invoke import task\n\n@task\ndef one(c):\n    pass\n")
    argv = [str(ROOT / ".venv/bin/python"), "-m", "invoke", "--search-root", str(folder), "--list"]
    started = time.monotonic()
    subprocess.run(argv, capture_output=True, check=True)
    return time.monotonic() - started


def _table(figures: Figures) -> Table:
    table = Table("figure", "minimum", "median", "maximum", "goal", "reached")
    for name, values in figures.taken.items():
        goal = GOALS[name]
        numbers = (min(values), statistics.median(values), max(values))
        shown = "" if goal is None else f"<= {goal}"
        table.add_row(name, *(f"{number:.2f}" for number in numbers), shown, "yes" if _reached(name, values) else "NO")
    return table


def _reached(name: str, values: list[float]) -> bool:
    goal = GOALS[name]
    return goal is None or statistics.median(values) <= goal


if __name__ == "__main__":
    sys.exit(main())
