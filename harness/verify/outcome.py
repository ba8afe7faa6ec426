"""Turn what pytest says of one spec into a verdict: wrong is `fail`, whatever kept us from looking is `unknown`."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from _pytest.outcomes import Failed

from harness.errors import HarnessError
from harness.evidence import hide_secrets
from harness.report.model import Verdict
from harness.verify.expect import Broken, NotShown, Pending

GRAVITY: dict[Verdict, int] = {"pass": 0, "unasserted": 1, "pending": 2, "fail": 3, "unknown": 4}


@dataclass(frozen=True)
class Outcome:
    """What one phase, or one whole spec, came to."""

    verdict: Verdict
    message: str


PASSED = Outcome("pass", "")


def weigh_phase(report: pytest.TestReport, error: BaseException | None) -> Outcome:
    """The outcome of one phase (setup, call, teardown) of a spec."""
    if report.passed and error is None:
        return PASSED
    if isinstance(error, Pending | NotShown):
        return Outcome("pending" if isinstance(error, Pending) else "unasserted", str(error.msg))
    if report.skipped:
        return Outcome("unknown", f"Skipped, so nothing was looked at: {_skip_reason(report)}")
    if isinstance(error, Broken) or (report.when == "call" and isinstance(error, AssertionError | Failed)):
        return Outcome("fail", _said(error))
    if isinstance(error, HarnessError):
        return Outcome("unknown", hide_secrets(str(error)))
    return Outcome("unknown", f"The spec itself broke in {report.when}: {_crash(error, report)}")


def graver(one: Outcome, other: Outcome) -> Outcome:
    """The graver of two phases of the same spec; the first when they weigh the same."""
    return other if GRAVITY[other.verdict] > GRAVITY[one.verdict] else one


def _said(error: BaseException) -> str:
    """The sentence of a broken promise; a plain assert gives its first line."""
    text = str(error) or "the assertion does not hold and gives no reason"
    return hide_secrets(text if isinstance(error, Broken) else text.splitlines()[0])


def _skip_reason(report: pytest.TestReport) -> str:
    longrepr = report.longrepr
    return hide_secrets(str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr))


def _crash(error: BaseException | None, report: pytest.TestReport) -> str:
    if error is None:
        return hide_secrets(str(report.longrepr))
    where = _last_line_of(error)
    return hide_secrets(f"{type(error).__name__}: {str(error) or 'no text'}{where}")


def _last_line_of(error: BaseException) -> str:
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
