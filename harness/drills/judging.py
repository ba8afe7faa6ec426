"""Judge how a drill ended: good, bad, or not found out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from harness.drills.model import Drilling
from harness.drills.record import Record, Result
from harness.errors import HarnessError, Invalid, Missing, Refused, Unreachable, Unsafe, Untrusted

# With these nobody knows whether the promise holds; anything else that goes wrong breaks it.
NOT_LOOKED = (Unreachable, Refused, Untrusted, Missing, Invalid, Unsafe)


class Unjudged(HarnessError):
    """The drill was undone, and could not find out what it was for."""


def judge_end(record: Record, drilling: Drilling, stopped: BaseException | None) -> Record:
    """`stopped` is what ended the drill before its own end."""
    if isinstance(stopped, NOT_LOOKED):
        drilling.note(f"the drill {record.drill}", str(stopped))
    elif isinstance(stopped, HarnessError):
        drilling.check(f"the drill {record.drill}", wanted="runs to its end", seen=str(stopped), good=False)
    now = datetime.now(UTC)
    result, message = _weigh(drilling, stopped)
    return replace(
        record,
        ended=now,
        seconds=drilling.seconds,
        result=result,
        message=message,
        evidence=tuple(drilling.evidence),
        left=tuple(drilling.left),
        last_good=now if result == "good" else record.last_good,
        undo=drilling.undo if drilling.left else {},
    )


def _weigh(drilling: Drilling, stopped: BaseException | None) -> tuple[Result, str]:
    """What could not be put back is wrong in any case; what was broken off in the middle shows nothing else."""
    broken_off = stopped is not None and not isinstance(stopped, HarnessError)
    wrong = (*drilling.left, *(() if broken_off else drilling.wrong))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return "bad", f"{wrong[0]}{more}"
    if broken_off:
        return "interrupted", "interrupted; everything is put back"
    if stopped is not None:
        return "interrupted", f"it was not found out whether it holds. {stopped}"
    held = sum(one.good is True for one in drilling.evidence)
    return "good", f"{held} check{'' if held == 1 else 's'}, all good"
