"""Measure this harness beside the floor and the ways people go today: python -m benchmarks [--latency lan]."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.contenders import NAMES, contenders, left_out, set_up
from benchmarks.counting import ServerCounts
from benchmarks.place import LAB, ROOT, Place, open_logins, open_place
from benchmarks.results import Results, judge, read_json, write_json
from benchmarks.showing import open_output, print_table, render_svg
from benchmarks.turns import Bounds, Failed, take_turns
from harness.errors import HarnessError
from harness.lab import DELAY_S


def main() -> int:
    """0 when every measured goal is reached, 1 when one is not, 2 when something could not be measured."""
    asked = _arguments()
    out = open_output()
    kept = read_json(asked.json) if asked.resume and asked.json.exists() else None
    if kept is not None and (kept.site, kept.latency) != (asked.site, asked.latency):
        out.print(f"{asked.json} holds results of {kept.site} at latency {kept.latency}: write to another file")
        return 2
    with tempfile.TemporaryDirectory(prefix="mgmt-bench-") as folder:
        try:
            results, titles = _measure(asked, Path(folder), kept, out)
        except (Failed, HarnessError) as error:
            out.print(str(error), markup=False)
            return 2
    goals = judge(results)
    print_table(results, titles, goals, out)
    write_json(results, asked.json, goals)
    if asked.svg:
        asked.svg.write_text(render_svg(results, titles))
    return 2 if results.failed else 1 if any(goal.reached is False for goal in goals) else 0


def _measure(
    asked: argparse.Namespace, folder: Path, kept: Results | None, out: Console
) -> tuple[Results, dict[str, str]]:
    """What was measured, and what each contender is called."""
    only = frozenset(asked.only)
    with open_place(asked.site, asked.latency, asked.inventory, folder) as place, open_logins(place) as opened:
        bench = set_up(place, opened)
        every = contenders(bench)
        results = kept or Results(asked.site, asked.latency, len(place.contract.guests))
        results.left_out = left_out(bench, only)
        take_turns(
            [one for name, one in every.items() if name not in results.left_out and (not only or name in only)],
            Bounds(asked.runs, asked.minutes * 60),
            results,
            ServerCounts(opened, place.contract.hypervisor.name, _vmids(place), place.in_lab),
            keep=lambda found: write_json(found, asked.json),
            tell=lambda text: out.print(text, markup=False),
        )
    return results, {name: one.title for name, one in every.items()}


def _vmids(place: Place) -> list[int]:
    return [int(guest.vmid) for guest in place.contract.guests]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--site", default=LAB, help="the site (default: lab, which is brought up and taken down)")
    parser.add_argument("--inventory", type=Path, default=ROOT / "inventory", help="the folder of all sites")
    parser.add_argument("--latency", choices=DELAY_S, default="lan", help="how far away the lab is (default: lan)")
    parser.add_argument("--runs", type=int, default=3, help="how often each is timed, where there is time (default: 3)")
    parser.add_argument("--minutes", type=float, default=10, help="no second turn is begun after that (default: 10)")
    parser.add_argument("--only", action="append", default=[], choices=NAMES, help="only this one; may be given again")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="default: benchmarks.json")
    parser.add_argument("--resume", action="store_true", help="go on with the runs that the JSON file holds")
    parser.add_argument("--svg", type=Path, help="write the chart to this file")
    asked = parser.parse_args()
    if asked.site != LAB:
        asked.latency = "none"  # as far away as it is
    return asked


if __name__ == "__main__":
    sys.exit(main())
