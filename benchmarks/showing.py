"""Show results as a table, and as a chart for the documentation."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from rich.console import Console
from rich.table import Table

from benchmarks.results import Goal, Results

# What each group of bars is compared with.
GROUPS = (
    ("verify", ("floor", "verify", "serverspec", "testinfra", "testinfra-single", "ansible")),
    ("provision", ("provision-floor", "provision", "ansible-provision")),
    ("provision-again", ("provision-again", "ansible-provision-again")),
    ("provision-recorded", ("provision-recorded",)),
)
HELD = dict(GROUPS)
HEADINGS = {
    "verify": "verify: 1 hypervisor, {guests} VMs",
    "provision": "provision {guests} VMs",
    "provision-again": "provision again: nothing to do",
    "provision-recorded": "provision {guests} VMs, PVE's tasks as long as recorded",
}
WIDTH, LABEL, BAR, ROW = 800, 310, 350, 26
# Of the table where no terminal says how wide it is: a log breaks no lines.
LOG_COLUMNS = 160


def open_output() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else LOG_COLUMNS)


def print_table(results: Results, titles: dict[str, str], goals: Sequence[Goal], out: Console) -> None:
    table = Table("", "runs", "median s", "ratio", "API calls", "writes", "SSH logins", "SSH commands", "checks")
    for base, names in GROUPS:
        for name in (one for one in names if results.count(one)):
            cost, ratio = results.cost(name), results.ratio(name, base)
            counts = (cost.api_calls, cost.api_writes, cost.ssh_logins, cost.ssh_commands)
            shown = ("" if count is None else str(count) for count in counts)
            checks = str(results.runs[name][-1].checks or "")
            seconds = f"{results.median(name):.2f}"
            named = titles.get(name, name)
            table.add_row(
                named, str(results.count(name)), seconds, "" if ratio is None else f"{ratio:.2f}", *shown, checks
            )
        table.add_section()
    out.print(table)
    for name, why in results.left_out.items():
        out.print(f"left out: {titles.get(name, name)} ({why})", markup=False)
    for name in results.failed:
        out.print(f"FAILED: {titles.get(name, name)}", markup=False)
    for name in results.runs:
        if (path := results.path(name)) is not None:
            times = f"all of it {results.stretch(name):.2f} times that"
            out.print(f"  PVE's own work in {titles.get(name, name)}: {path}; {times}", markup=False, soft_wrap=True)
    for goal in goals:
        word = {True: "reached", False: "MISSED", None: ""}[goal.reached]
        out.print(f"  {goal}  {word}", markup=False)


def render_svg(results: Results, titles: dict[str, str]) -> str:
    """Bars by group, each group on its own scale; readable in the light and in the dark."""
    parts: list[str] = []
    y = 24.0
    for base, names in GROUPS:
        there = [name for name in names if results.count(name)]
        if there:
            drawn, y = _draw_group(results, titles, base, there, y)
            parts += drawn
    note = f"Medians of one run at latency {results.latency}, site {results.site}; (n x): n times this harness's."
    parts.append(_text(0, y + 4, note, "note"))
    height = y + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(_spoken(results, titles))}">\n<style>{_STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _draw_group(
    results: Results, titles: dict[str, str], base: str, names: Sequence[str], y: float
) -> tuple[list[str], float]:
    """Its elements, and where the next group begins."""
    parts: list[str] = []
    parts.append(_text(0, y, HEADINGS[base].format(guests=results.guests), "head"))
    longest = max(results.median(name) or 0.0 for name in names)
    bars = list(_bars(results, titles, base, names))
    for number, (label, seconds, kind, said) in enumerate(bars):
        top = y + 12 + number * ROW
        width = max(1.0, seconds / longest * BAR)
        parts.append(_text(LABEL - 8, top + 14, label, "label"))
        parts.append(f'<rect class="{kind}" x="{LABEL}" y="{top:g}" width="{width:.1f}" height="18" rx="2"/>')
        parts.append(_text(LABEL + width + 6, top + 14, said, "value"))
    return parts, y + 12 + len(bars) * ROW + 30


def _bars(
    results: Results, titles: dict[str, str], base: str, names: Sequence[str]
) -> Iterator[tuple[str, float, str, str]]:
    """Label, seconds, kind and what is written behind it; beside whom nobody else stands there is PVE's own work."""
    if len(HELD[base]) == 1 and (path := results.path(base)) is not None:
        yield "PVE's own work in it", path.seconds, "floor", f"{path.seconds:.1f} s"
    for name in names:
        seconds, ratio = results.median(name) or 0.0, results.ratio(name, base)
        kind = "ours" if name == base else "floor" if "floor" in name else "other"
        said = f"{seconds:.1f} s" + (f" ({ratio:.1f} x)" if kind == "other" and ratio is not None else "")
        yield titles.get(name, name), seconds, kind, said


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:g}">{escape(text)}</text>'


def _spoken(results: Results, titles: dict[str, str]) -> str:
    names: Iterable[str] = (name for _, group in GROUPS for name in group if results.count(name))
    return "; ".join(f"{titles.get(name, name)}: {results.median(name):.1f} seconds" for name in names)


_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2933}.head{font-weight:600}.label{text-anchor:end}"
    ".note{fill:#52606d;font-size:12px}.ours{fill:#0b7285}.floor{fill:#868e96}.other{fill:#c2762a}"
    "@media(prefers-color-scheme:dark){text{fill:#e4e7eb}.note{fill:#9aa5b1}.ours{fill:#3bc9db}.floor{fill:#adb5bd}"
    ".other{fill:#f0a35e}}"
)
