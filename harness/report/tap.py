"""Render a run as TAP 14: a test point for each clause, its checks as a subtest, what was wrong as YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from harness.report.model import Check, ClauseResult, Report, Verdict


def render_tap(report: Report) -> str:
    """The whole stream; a run that is not whole ends with `Bail out!`, for no number of points says it."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield "TAP version 14"
    yield f"# site {_plain(report.site)}, hypervisor {_plain(report.hypervisor)}: {report.verdict}"
    yield f"1..{len(report.clauses)}"
    for number, clause in enumerate(report.clauses, 1):
        yield from _subtest(clause)
        yield _point(number, clause.verdict, f"{clause.id}: {clause.title}", clause.message)
        yield from _diagnosis(clause.verdict, clause.message, severity=clause.severity, source=clause.source)
    for problem in report.problems:
        yield f"Bail out! {_plain(problem)}"


def _subtest(clause: ClauseResult) -> Iterator[str]:
    if not clause.checks:
        return
    yield f"    # Subtest: {_escaped(clause.id)}"
    yield f"    1..{len(clause.checks)}"
    for number, check in enumerate(clause.checks, 1):
        judged = _judged(clause, check)
        yield f"    {_point(number, judged, check.name, clause.message if judged == 'waived' else check.message)}"
        yield from (f"    {line}" for line in _diagnosis(check.verdict, check.message, guest=check.guest))


def _judged(clause: ClauseResult, check: Check) -> Verdict:
    return "waived" if clause.verdict == "waived" and check.verdict != "pass" else check.verdict


def _point(number: int, verdict: Verdict, what: str, message: str) -> str:
    """Waived is skipped and not yet shown is to do: both count for nothing. Pending is a hole, as unknown is."""
    ok = "ok" if verdict in ("pass", "waived") else "not ok"
    directive = {"waived": f" # SKIP {_escaped(message)}", "unasserted": f" # TODO {_escaped(message)}"}
    return f"{ok} {number} - {_escaped(what)}{directive.get(verdict, '')}"


def _diagnosis(verdict: Verdict, message: str, **more: str | None) -> Iterator[str]:
    """JSON strings are YAML strings, whatever is in them."""
    if verdict in ("fail", "unknown", "pending"):
        yield "  ---"
        for name, value in {"verdict": verdict, "message": message, **more}.items():
            if value:
                yield f"  {name}: {json.dumps(value, ensure_ascii=False)}"
        yield "  ..."


def _escaped(text: str) -> str:
    """A description ends where a directive begins."""
    return re.sub(r"([\\#])", r"\\\1", _plain(text))


def _plain(text: str) -> str:
    return " ".join(text.split())
