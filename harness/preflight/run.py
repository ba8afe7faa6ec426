"""Run every check, whatever the others say, and report all failures at once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import date

from harness.contract import Contract, Waiver
from harness.errors import HarnessError, Refused, TimedOut, Unreachable
from harness.preflight.checks import CHECKS
from harness.preflight.model import Before, Check, Finding, Preflight, Result, failed, unknown
from harness.preflight.view import View, open_view

COULD_NOT_LOOK = (Unreachable, Refused, TimedOut)


def preflight(contract: Contract, before: Before = "provision", *, today: date | None = None) -> Preflight:
    """Everything that the commands up to `before` need; reads only."""
    with open_view(contract) as view:
        return take_preflight(view, before, today=today or date.today())


def take_preflight(view: View, before: Before, *, today: date, checks: Sequence[Check] = CHECKS) -> Preflight:
    """As `preflight`, through a view that is open already."""
    started = time.monotonic()
    wanted = [check for check in checks if before == "provision" or check.before == "bootstrap"]
    view.prefetch({check.id for check in wanted})
    reported: dict[int, str] = {}
    results = tuple(_take(check, view, today, reported) for check in wanted)
    return Preflight(view.contract.site, before, results, time.monotonic() - started)


def _take(check: Check, view: View, today: date, reported: dict[int, str]) -> Result:
    try:
        findings = tuple(check.look(view))
    except HarnessError as error:
        findings = (_explain(check, error, reported),)
    waiver = next((one for one in view.contract.waivers if one.clause == check.clause), None)
    if waiver is not None:
        findings = tuple(_waive(waiver, findings, today))
    return Result(check.id, check.title, findings)


def _explain(check: Check, error: HarnessError, reported: dict[int, str]) -> Finding:
    """One cause is told once: looks are shared, so what fails for the same reason fails with the same error."""
    first = reported.setdefault(id(error), check.id)
    if first != check.id:
        return Finding("unknown", f"not looked at, for the reason that {first} gives", f"Mend {first} first", first)
    said = f"Could not {error.tried} on {error.on}: {error.happened}"
    could_not_look = isinstance(error, COULD_NOT_LOOK) and not check.reaches
    return unknown(said, error.do) if could_not_look else failed(said, error.do)


def _waive(waiver: Waiver, findings: Iterable[Finding], today: date) -> Iterable[Finding]:
    """A waiver is always shown, with what it covers; one that has ended covers nothing."""
    seen = "; ".join(str(finding).rstrip(".") for finding in findings)
    if waiver.until >= today:
        yield Finding("waived", f"Waived until {waiver.until}: {waiver.reason} (seen: {seen})")
        return
    yield from findings
    said = f"The waiver of {waiver.clause} ended on {waiver.until} ({waiver.declared}): {waiver.reason}"
    yield failed(said, "Keep the promise, or renew the waiver")
