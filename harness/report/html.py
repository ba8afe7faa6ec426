"""Render a run as one HTML file that needs nothing else: no script, no request, light and dark, screen and paper."""

from __future__ import annotations

from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.evidence import Fact
from harness.report.model import Check, ClauseResult, Report, Verdict

WORDS: dict[str, str] = {
    "pass": "holds",
    "fail": "broken",
    "unknown": "could not look",
    "waived": "waived",
    "pending": "pending",
    "unasserted": "not yet shown",
}
SENTENCES = {
    "pass": "Every asserted promise holds or is waived.",
    "fail": "At least one promise is broken.",
    "unknown": "Something could not be looked at, so there is no verdict on the whole.",
}


def render_html(report: Report) -> str:
    """The report as text of an HTML document."""
    loader = PackageLoader("harness.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(clock=_clock, promise=_promise)
    environment.tests["told_by_a_check"] = _is_told_by_a_check
    return environment.get_template("report.html").render(
        report=report,
        words=WORDS,
        sentence=SENTENCES[report.verdict],
        grouped=_grouped(report),
        counts={verdict: count for verdict, count in report.counts.items() if count},
        by_guest=_by_guest(report),
    )


def _grouped(report: Report) -> list[tuple[str, list[ClauseResult]]]:
    groups = (
        (title, [clause for clause in report.clauses if clause.group == key]) for key, title in report.groups.items()
    )
    return [(title, clauses) for title, clauses in groups if clauses]


def _by_guest(report: Report) -> dict[str, dict[Verdict, int]]:
    """How the checks of each guest went."""
    counts: dict[str, dict[Verdict, int]] = {guest.name: {} for guest in report.guests}
    for clause in report.clauses:
        for check in clause.checks:
            if check.guest in counts:
                of_guest = counts[check.guest]
                of_guest[check.verdict] = of_guest.get(check.verdict, 0) + 1
    return counts


def _promise(check: Check) -> str:
    """`test_is_on_its_bridge[metrics-vm01]` as a reader says it; the guest stands beside it."""
    name, _, what = check.name.removeprefix("test_").rstrip("]").partition("[")
    words = name.replace("_", " ").capitalize()
    return words if what in ("", check.guest) else f"{words}: {what}"


def _is_told_by_a_check(clause: ClauseResult) -> bool:
    """Whether the clause's message is one of its checks', which stands there again when the clause is open."""
    return any(check.message and clause.message.startswith(check.message) for check in clause.checks)


def _clock(fact: Fact) -> str:
    return datetime.fromtimestamp(fact.at).astimezone().strftime("%H:%M:%S")
