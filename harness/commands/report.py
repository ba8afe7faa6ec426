"""Make a kept run's report again, list the runs that are kept, and say what changed between any two."""

from __future__ import annotations

import webbrowser
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.commands.front import front
from harness.errors import Invalid, Missing, Refused
from harness.printing import console
from harness.report import outputs
from harness.report.background import Background, look_back
from harness.report.compare import Comparison, Turn, compare
from harness.report.history import HTML, History, look
from harness.report.model import Report
from harness.report.terminal import STYLES
from harness.report.words import WORDS, duration
from harness.site import state_folder


@dataclass(frozen=True)
class ReportOptions:
    """What `report` was asked; `files` by the names of harness.report.outputs.KINDS."""

    run: str | None = None  # None: the last one
    compare: str | None = None  # BEFORE..AFTER, or BEFORE
    list: bool = False
    open: bool = False
    files: Mapping[str, Path] = field(default_factory=dict)


@front
def report(site: str, options: ReportOptions) -> int:
    """0 done; 1 when a comparison found that something is worse."""
    state_dir = state_folder(site)
    history = look(state_dir)
    out = console()
    for note in history.unreadable:
        out.print(note, style="yellow", markup=False)
    if options.list:
        _list(history, out)
        return 0
    _require_runs(history, site, options)
    before, after = _pair(options)
    chosen = history.find(after)
    background = look_back(state_dir, chosen)
    # The last green run may be the chosen one itself; what changed is asked since the green run before it.
    earlier = history.before(chosen.started_at) if before == "green" else history
    comparison = compare(earlier.find(before), chosen) if before else None
    if comparison is not None:
        background = replace(background, since=comparison)
        _show(comparison, out)
    _write(state_dir, chosen, background, options, out)
    return 1 if comparison is not None and comparison.worse else 0


def _pair(options: ReportOptions) -> tuple[str | None, str]:
    """The runs to compare, or none and the one to show."""
    if options.compare is None:
        return None, options.run or "last"
    if options.run is not None:
        raise Invalid(
            tried="choose runs",
            on="--run and --compare",
            happened="both were given",
            do="Name both runs at once: --compare BEFORE..AFTER",
        )
    before, _, after = options.compare.strip().replace(" ", "..", 1).partition("..")
    if not before:
        raise Invalid(
            tried="compare runs",
            on=repr(options.compare),
            happened="it names no run to start from",
            do="Say --compare BEFORE..AFTER, for example --compare green..last",
        )
    return before, after.strip() or "last"


def _require_runs(history: History, site: str, options: ReportOptions) -> None:
    """A run that is named by its file needs no history."""
    if not history.runs and not (options.run or options.compare or "").endswith(".json"):
        raise Missing(
            tried="show the last report",
            on=f"site {site}",
            happened=f"no whole run is kept in {history.folder}",
            do=f"Run ./invoke verify --site {site}",
        )


def _list(history: History, out: Console) -> None:
    """Newest first, as `--run` and `--compare` take them."""
    if not history.runs:
        out.print(f"No whole run is kept in {history.folder}. A whole verify makes one.", markup=False)
    for kept in reversed(history.runs):
        run = kept.run
        counts = ", ".join(f"{count} {WORDS[verdict]}" for verdict, count in run.counts.items() if count)
        line = Text(f"{kept.name}  ")
        line.append(f"{run.verdict:<8}", STYLES[run.verdict])
        line.append(f"  {duration(run.seconds):>8}  {counts}")
        out.print(line, soft_wrap=True, highlight=False)


def _show(found: Comparison, out: Console) -> None:
    before, after = (moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") for moment in (found.before_at, found.after_at))
    out.print(f"{before} ({found.before_verdict}) -> {after} ({found.after_verdict})", markup=False, highlight=False)
    if found.same:
        out.print("Nothing changed.")
    for turn in found.turns:
        out.print(_turn(turn), soft_wrap=True, highlight=False)
        for name in turn.newly_wrong:
            out.print(f"    wrong now: {name}", markup=False, highlight=False, soft_wrap=True)
        for name in turn.no_longer_wrong:
            out.print(f"    no longer wrong: {name}", markup=False, highlight=False, soft_wrap=True)
        if turn.kind in ("broken", "lost sight"):
            out.print(f"    {turn.message}", markup=False, highlight=False, soft_wrap=True)
    for note in found.notes:
        out.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)


def _turn(turn: Turn) -> Text:
    before, after = (WORDS[verdict] if verdict else "not there" for verdict in (turn.before, turn.after))
    line = Text(f"  {turn.clause}: ")
    line.append(before if turn.before != turn.after else "still")
    line.append(" -> " if turn.before != turn.after else " ")
    line.append(after, STYLES[turn.after] if turn.after else "")
    return line


def _write(state_dir: Path, chosen: Report, background: Background, options: ReportOptions, out: Console) -> None:
    files = dict(options.files)
    if options.open or not (files or options.compare):
        files.setdefault("html", state_dir / "reports" / _page(options, chosen))
    outputs.write(chosen, files, lambda: background)
    for file in files.values():
        out.print(str(file), markup=False, highlight=False, soft_wrap=True)
    if options.open and not webbrowser.open(files["html"].resolve().as_uri()):
        raise Refused(
            tried="open the report",
            on=str(files["html"]),
            happened="this machine knows no browser",
            do="Open the file yourself",
        )


def _page(options: ReportOptions, chosen: Report) -> str:
    """The last report keeps its place; an older one, or a comparison, goes beside it."""
    if options.run in (None, "last") and options.compare is None:
        return HTML
    return f"{chosen.started_at.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}.html"
