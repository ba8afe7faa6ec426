"""Undo what earlier drills left that were cut off, or could not undo everything themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from harness.drills import guard
from harness.drills.catalogue import DRILLS
from harness.drills.courses import COURSES
from harness.drills.model import Drilling
from harness.drills.record import Record, Result, read_record, write_record
from harness.drills.tools import Tools
from harness.interrupts import uninterrupted

MEND_S = 900.0  # what the guard undoes may be the start of every VM


def settle_guard(tools: Tools, report: Callable[[str], None]) -> None:
    """What a drill that was cut off, here or on another machine, left to the hypervisor."""
    found = guard.look(tools)
    if found is None:
        return
    report(f"{found}")
    with uninterrupted():
        if found.state != "undone":
            guard.undo(tools, timeout_s=MEND_S)
            report(f"What the drill {found.drill} changed is put back")
        guard.disarm(tools)


def mend(tools: Tools, report: Callable[[str], None]) -> None:
    """What is on record to be undone; said, and nothing when there is none."""
    state_dir = tools.contract.state_dir
    for drill in DRILLS.values():
        record = read_record(state_dir, drill.name)
        if record is None or not (record.result == "unfinished" or record.left):
            continue
        what = "was cut off" if record.result == "unfinished" else "could not undo everything"
        report(f"The drill {drill.name} of {record.began.astimezone():%Y-%m-%d %H:%M:%S} {what}")
        mend_it = COURSES[drill.name].mend
        if record.undo and mend_it is not None:
            with uninterrupted():
                mend_it(Drilling(tools.contract, tools, None, report, undo=dict(record.undo)))
        write_record(state_dir, _mended(record))


def _mended(record: Record) -> Record:
    """A bad one stays bad."""
    result: Result
    result, so_far = ("interrupted", "cut off") if record.result == "unfinished" else (record.result, record.message)
    back = f"what it changed was found put back, or put back, at {datetime.now(UTC).isoformat(timespec='seconds')}"
    return replace(record, result=result, message=f"{so_far}; {back}", left=(), undo={})
