"""Say on a terminal, or in plain lines, what a run found: the table by group first, then what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from harness.report.html import SENTENCES, WORDS
from harness.report.model import ClauseResult, Report

STYLES = {
    "pass": "green",
    "fail": "bold red",
    "unknown": "bold yellow",
    "waived": "blue",
    "pending": "dim",
    "unasserted": "dim",
}


def print_report(report: Report, console: Console) -> None:
    """The whole summary."""
    for line in render_lines(report):
        console.print(line, soft_wrap=True, highlight=False)


def render_lines(report: Report) -> Iterator[Text]:
    yield from _table(report)
    yield from _section("Broken promises", _wrong(report, "fail"))
    yield from _section("Could not look", _wrong(report, "unknown"))
    yield from _section("Pending", _wrong(report, "pending"))
    yield from _section("The run itself", (Text(f"  {problem}", "bold yellow") for problem in report.problems))
    yield from _section("Identity chains", _chains(report))
    yield from _section("Waived", _waivers(report))
    yield from _section("Not yet shown", _unasserted(report))
    yield from _section("Drills", _drills(report))
    yield Text()
    yield _counts(report)
    yield Text(f"{report.site}: {SENTENCES[report.verdict]}", STYLES[report.verdict])


def _table(report: Report) -> Iterator[Text]:
    width = max((len(clause.id) for clause in report.clauses), default=0)
    for group, title in report.groups.items():
        clauses = [clause for clause in report.clauses if clause.group == group]
        if clauses:
            yield Text()
            yield Text(title, "bold")
        for clause in clauses:
            yield _row(clause, width)


def _row(clause: ClauseResult, width: int) -> Text:
    passed = sum(check.verdict == "pass" for check in clause.checks)
    tally = f"{passed}/{len(clause.checks)}" if clause.checks else ""
    row = Text(f"  {clause.id:<{width}}  ")
    row.append(f"{WORDS[clause.verdict]:<16}", STYLES[clause.verdict])
    row.append(f"  {tally:>7}  ", "dim")
    row.append(clause.title)
    return row


def _section(title: str, lines: Iterable[Text]) -> Iterator[Text]:
    said = list(lines)
    if said:
        yield Text()
        yield Text(title, "bold")
        yield from said


def _wrong(report: Report, verdict: str) -> Iterator[Text]:
    """Each sentence once: one guest that is gone says the same to every check that asks for it."""
    concerned: dict[str, dict[str, None]] = {}  # sentence -> clauses, both in their order
    for clause in report.clauses:
        if clause.verdict == "waived":
            continue
        for check in clause.checks:
            if check.verdict == verdict:
                concerned.setdefault(check.message, {})[clause.id] = None
        if clause.verdict == verdict and not any(clause.message.startswith(said) for said in concerned):
            concerned.setdefault(clause.message, {})[clause.id] = None  # the clause's own, such as an ended waiver
    together: dict[tuple[str, ...], list[str]] = {}
    for message, clauses in concerned.items():
        together.setdefault(tuple(clauses), []).append(message)
    for ids, messages in together.items():
        yield Text(f"  {', '.join(ids)}", STYLES[verdict])
        yield from (Text(f"    {message}") for message in messages)


def _chains(report: Report) -> Iterator[Text]:
    """One line a VM, broken at its first bad link."""
    width = max((len(chain.guest) for chain in report.chains), default=0)
    for chain in report.chains:
        line = Text(f"  {chain.guest:<{width}}  {' = '.join(chain.held)}")
        if chain.broken_at is not None:
            line.append(f" | {chain.broken_at}: {chain.said}", STYLES[chain.verdict])
        yield line


def _waivers(report: Report) -> Iterator[Text]:
    shown = {clause.id: clause for clause in report.clauses}
    for waiver in report.waivers:
        if waiver.clause in shown:
            over = " (over)" if waiver.expired else ""
            yield Text(f"  {waiver.clause}: {waiver.reason} (until {waiver.until}{over}, {waiver.owner})")


def _unasserted(report: Report) -> Iterator[Text]:
    """Promises without a spec in one line; what a drill would show, with the command that does it."""
    without = [clause.id for clause in report.of("unasserted") if not clause.checks]
    if without:
        yield Text(f"  {', '.join(without)}", "dim")
    for clause in report.of("unasserted"):
        if clause.checks:
            yield Text(f"  {clause.id}: {clause.message}", "dim")


def _drills(report: Report) -> Iterator[Text]:
    width = max((len(drill.name) for drill in report.drills), default=0)
    for drill in report.drills:
        yield Text(f"  {drill.name:<{width}}  {drill.said}", STYLES[drill.verdict])


def _counts(report: Report) -> Text:
    counts = ", ".join(f"{count} {WORDS[verdict]}" for verdict, count in report.counts.items() if count)
    cost = f"{report.seconds:.1f} s, {report.api_calls} API calls, {report.ssh_trips} SSH round trips"
    again = f"; {len(report.retries)} asked again" if report.retries else ""
    return Text(f"{counts or 'nothing'} ({cost}{again})")
