"""Judge clauses from their checks: wrong and could-not-look stay apart, and neither ever counts as a pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from harness.contract import Waiver
from harness.report.model import Check, ClauseResult, Overall, ShownWaiver, Verdict
from harness.verify.clauses import Clause
from harness.verify.expect import place

NOT_YET = "No spec asserts this promise. Write one, or take the clause out of clauses.yml."
NOTHING_LOOKED_AT = "Its specs found nothing to look at, which proves nothing."


def judge_clause(
    clause: Clause,
    checks: Sequence[Check],
    *,
    waiver: Waiver | None,
    asserted: bool,
    today: date,
    complete: bool = True,
) -> ClauseResult:
    """What became of one promise.

    `asserted`: a spec exists for it; without one not even a waiver helps. `complete`: all of its checks were run.
    """
    verdict, message = _weigh(checks) if asserted else ("unasserted", NOT_YET)
    if waiver is not None and asserted:
        is_needed = verdict != "pass" or waiver.may_hold or not complete
        verdict, message = _waive(waiver, verdict, message, today) if is_needed else _superfluous(waiver)
    return ClauseResult(
        id=clause.id,
        group=clause.group,
        title=clause.title,
        promise=clause.promise,
        source=clause.source,
        severity=clause.severity,
        verdict=verdict,
        message=message,
        checks=tuple(checks),
    )


def _weigh(checks: Sequence[Check]) -> tuple[Verdict, str]:
    """The gravest verdict of the checks: known to be wrong, then not known, then not there yet, then not shown yet."""
    if not checks:
        return "unknown", NOTHING_LOOKED_AT
    for grave in ("fail", "unknown", "pending", "unasserted"):
        said = [check.message for check in checks if check.verdict == grave]
        if said:
            more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
            return grave, f"{said[0]}{more}"
    return "pass", ""


def _waive(waiver: Waiver, verdict: Verdict, message: str, today: date) -> tuple[Verdict, str]:
    if waiver.until >= today:
        shown = "not yet shown" if verdict == "unasserted" else verdict
        return "waived", f"{waiver.reason} (until {waiver.until}; its checks say: {shown})"
    ended = f"The waiver ended on {waiver.until} ({place(waiver.declared)}): {waiver.reason.rstrip('.')}."
    # An expired waiver is itself the fault; what its checks could not see still counts in the overall verdict.
    return "fail", f"{ended} Keep the promise, or renew the waiver. {message}".rstrip()


def _superfluous(waiver: Waiver) -> tuple[Verdict, str]:
    said = f"It said: {waiver.reason.rstrip('.')} (until {waiver.until}, {waiver.owner})."
    return "fail", f"The waiver is no longer needed: all checks pass. {said} Remove it: {place(waiver.declared)}"


def judge_run(clauses: Sequence[ClauseResult], problems: Sequence[str]) -> Overall:
    """The verdict on the site: one with holes is no verdict, so "could not look" wins over "wrong".

    A clause that no spec asserts is a hope, and a contract with hopes in it is broken; what only a drill shows, and
    none has yet, is neither.
    """
    counted = [clause for clause in clauses if clause.verdict != "waived"]
    holes = any(clause.verdict in ("unknown", "pending") for clause in counted)
    holes = holes or any(check.verdict == "unknown" for clause in counted for check in clause.checks)
    looked = any(clause.verdict != "unasserted" for clause in clauses)
    if problems or holes or not looked:
        return "unknown"
    return "fail" if any(_is_broken(clause) for clause in counted) else "pass"


def _is_broken(clause: ClauseResult) -> bool:
    return clause.verdict == "fail" or (clause.verdict == "unasserted" and not clause.checks)


def show_waivers(waivers: Iterable[Waiver], today: date) -> tuple[ShownWaiver, ...]:
    """Every waiver of the site, for the report."""
    return tuple(
        ShownWaiver(w.clause, w.reason, w.owner, w.until, place(w.declared), expired=w.until < today) for w in waivers
    )
