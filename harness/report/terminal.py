"""Say on a terminal, or in plain lines, what a run found: the table by group first, then what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from harness.printing import Out
from harness.report.model import ClauseResult, Report, Verdict
from harness.report.trouble import troubles
from harness.report.words import SENTENCES, WORDS

if TYPE_CHECKING:
    from rich.text import Text

STYLES = {
    "pass": "green",
    "fail": "bold red",
    "unknown": "bold yellow",
    "waived": "blue",
    "pending": "dim",
    "unasserted": "dim",
}


class Line:
    """A line in pieces, each with its style; where nobody sees styles, only what it says."""

    def __init__(self, text: str = "", style: str = "") -> None:
        self._pieces = [(text, style)]

    def append(self, text: str, style: str = "") -> None:
        self._pieces.append((text, style))

    def __str__(self) -> str:
        return "".join(text for text, _ in self._pieces)

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text.assemble(*self._pieces)


def print_report(report: Report, out: Out) -> None:
    """The whole summary."""
    for line in render_lines(report):
        out.print(line, markup=False)


def render_lines(report: Report) -> Iterator[Line]:
    yield from _table(report)
    yield from _section("Broken promises", _wrong(report, "fail"))
    yield from _section("Could not look", _wrong(report, "unknown"))
    yield from _section("Pending", _wrong(report, "pending"))
    yield from _section("The run itself", (Line(f"  {problem}", "bold yellow") for problem in report.problems))
    yield from _section("Identity chains", _chains(report))
    yield from _section("Waived", _waivers(report))
    yield from _section("Not yet shown", _unasserted(report))
    yield from _section("Drills", _drills(report))
    yield Line()
    yield _counts(report)
    yield Line(f"{report.site}: {SENTENCES[report.verdict]}", STYLES[report.verdict])


def _table(report: Report) -> Iterator[Line]:
    width = max((len(clause.id) for clause in report.clauses), default=0)
    for group, title in report.groups.items():
        clauses = [clause for clause in report.clauses if clause.group == group]
        if clauses:
            yield Line()
            yield Line(title, "bold")
        for clause in clauses:
            yield _row(clause, width)


def _row(clause: ClauseResult, width: int) -> Line:
    passed = sum(check.verdict == "pass" for check in clause.checks)
    tally = f"{passed}/{len(clause.checks)}" if clause.checks else ""
    row = Line(f"  {clause.id:<{width}}  ")
    row.append(f"{WORDS[clause.verdict]:<16}", STYLES[clause.verdict])
    row.append(f"  {tally:>7}  {clause.severity:<8}  ", "dim")
    row.append(clause.title)
    return row


def _section(title: str, lines: Iterable[Line]) -> Iterator[Line]:
    said = list(lines)
    if said:
        yield Line()
        yield Line(title, "bold")
        yield from said


def _wrong(report: Report, verdict: Verdict) -> Iterator[Line]:
    for trouble in troubles(report, verdict):
        yield Line(f"  {', '.join(clause.id for clause in trouble.clauses)}", STYLES[verdict])
        yield from (Line(f"    {sentence}") for sentence in trouble.sentences)


def _chains(report: Report) -> Iterator[Line]:
    """One line a VM, broken at its first bad link."""
    width = max((len(chain.guest) for chain in report.chains), default=0)
    for chain in report.chains:
        line = Line(f"  {chain.guest:<{width}}  {' = '.join(chain.held)}")
        if chain.broken_at is not None:
            line.append(f" | {chain.broken_at}: {chain.said}", STYLES[chain.verdict])
        yield line


def _waivers(report: Report) -> Iterator[Line]:
    shown = {clause.id: clause for clause in report.clauses}
    for waiver in report.waivers:
        if waiver.clause in shown:
            over = " (over)" if waiver.expired else ""
            yield Line(f"  {waiver.clause}: {waiver.reason} (until {waiver.until}{over}, {waiver.owner})")


def _unasserted(report: Report) -> Iterator[Line]:
    """Promises without a spec in one line; what a drill would show, with the command that does it."""
    without = [clause.id for clause in report.of("unasserted") if not clause.checks]
    if without:
        yield Line(f"  {', '.join(without)}", "dim")
    for clause in report.of("unasserted"):
        if clause.checks:
            yield Line(f"  {clause.id}: {clause.message}", "dim")


def _drills(report: Report) -> Iterator[Line]:
    width = max((len(drill.name) for drill in report.drills), default=0)
    for drill in report.drills:
        yield Line(f"  {drill.name:<{width}}  {drill.said}", STYLES[drill.verdict])


def _counts(report: Report) -> Line:
    counts = ", ".join(f"{count} {WORDS[verdict]}" for verdict, count in report.counts.items() if count)
    cost = f"{report.seconds:.1f} s, {report.api_calls} API calls, {report.ssh_trips} SSH round trips"
    again = f"; {len(report.retries)} asked again" if report.retries else ""
    return Line(f"{counts or 'nothing'} ({cost}{again})")
