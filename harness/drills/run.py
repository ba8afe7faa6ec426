"""Run one drill: only where it is allowed, one at a time, after mending what an earlier one left, and on record."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from harness.contract import Contract, Guest
from harness.drills import guard
from harness.drills.catalogue import DRILLS
from harness.drills.model import Drill, Drilling, Unjudged, as_interrupts, uninterrupted
from harness.drills.record import Record, read_record, write_record
from harness.drills.standing import Standing, judge
from harness.drills.tools import Tools
from harness.engine.lock import run_lock
from harness.errors import HarnessError, Invalid, Unsafe

MEND_S = 900.0  # what the guard undoes may be the start of every VM


@dataclass(frozen=True)
class Request:
    """What is asked for: a drill, on one guest where it is about one."""

    drill: Drill
    guest: Guest | None


def standings(contract: Contract, now: datetime | None = None) -> tuple[Standing, ...]:
    """What the drills so far say of each promise."""
    return tuple(standing(contract, drill, now) for drill in DRILLS.values())


def standing(contract: Contract, drill: Drill, now: datetime | None = None) -> Standing:
    return judge(
        drill.name,
        drill.clause,
        read_record(contract.state_dir, drill.name),
        now=now or datetime.now(UTC),
        max_age_days=contract.drill_max_age_days,
        allowed=contract.drills,
    )


def request(contract: Contract, name: str, guest: str | None) -> Request:
    """Refuse in one sentence what does not exist, is not allowed here, or is not about one guest."""
    if name not in DRILLS:
        near = difflib.get_close_matches(name, DRILLS, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise _invalid(contract, f"there is no drill {name!r}", f"{hint}Name one of: {', '.join(DRILLS)}")
    drill = DRILLS[name]
    if name not in contract.drills:
        allowed = f"allows {', '.join(sorted(contract.drills))}" if contract.drills else "allows none"
        raise Unsafe(
            tried=f"run the drill {name}",
            on=f"site {contract.site}",
            happened=f"its inventory {allowed}; nothing was changed",
            do=f"Where it may be run, add {name} to mgmt_site.drills",
        )
    if guest is None:
        return Request(drill, None)
    if not drill.takes_guest:
        raise _invalid(contract, f"the drill {name} is about the whole site", "Leave --guest out")
    try:
        return Request(drill, contract.guest(guest))
    except KeyError:
        known = ", ".join(one.name for one in contract.guests)
        raise _invalid(contract, f"there is no management VM {guest!r}", f"Name one of: {known}") from None


def run_drill(contract: Contract, asked: Request, *, report: Callable[[str], None]) -> Record:
    """The record of the drill, which is on disk as well; KeyboardInterrupt after everything is put back."""
    with Tools(contract) as tools, run_lock(contract, tools.guest_looks, report), as_interrupts():
        mend(contract, tools, report)
        return _run(contract, asked, tools, report)


def mend(contract: Contract, tools: Tools, report: Callable[[str], None]) -> None:
    """Put back what a drill left that was cut off, here or on another machine; said, and nothing when there is none."""
    found = guard.look(tools)
    if found is not None:
        report(f"{found}")
        with uninterrupted():
            if found.state != "undone":
                guard.undo(tools, timeout_s=MEND_S)
                report(f"What the drill {found.drill} changed is put back")
            guard.disarm(tools)
    for drill in DRILLS.values():
        record = read_record(contract.state_dir, drill.name)
        if record is None or record.result != "unfinished":
            continue
        report(f"The drill {drill.name} of {record.began.astimezone():%Y-%m-%d %H:%M:%S} was cut off")
        drilling = Drilling(contract, tools, None, report, undo=dict(record.undo))
        with uninterrupted():
            drill.mend(drilling)
        message = f"cut off; what it changed was found put back, or put back, at {_now().isoformat(timespec='seconds')}"
        write_record(contract.state_dir, replace(record, result="interrupted", message=message))


def _run(contract: Contract, asked: Request, tools: Tools, report: Callable[[str], None]) -> Record:
    drill = asked.drill
    before = read_record(contract.state_dir, drill.name)
    record = Record(
        drill=drill.name,
        clause=drill.clause,
        site=contract.site,
        began=_now(),
        result="unfinished",
        message="it has begun",
        last_good=before.last_good if before else None,
    )

    drilling = Drilling(contract, tools, asked.guest, report)
    drilling.begin = lambda: write_record(contract.state_dir, replace(record, undo=drilling.undo))
    try:
        drill.run(drilling)
    except Unjudged as unknown:
        ended = replace(_ended(record, drilling, interrupted=True), message=unknown.happened)
        write_record(contract.state_dir, ended)
        raise
    except HarnessError as error:
        if not drilling.changing:
            raise  # nothing was changed, and nothing shown
        drilling.check(f"the drill {drill.name}", wanted="runs to its end", seen=str(error), good=False)
    except BaseException:
        if drilling.changing:
            write_record(contract.state_dir, _ended(record, drilling, interrupted=True))
        raise
    ended = _ended(record, drilling, interrupted=False)
    write_record(contract.state_dir, ended)
    return ended


def _ended(record: Record, drilling: Drilling, *, interrupted: bool) -> Record:
    """What was left in the middle shows nothing; what could not be put back is wrong in any case."""
    now = _now()
    done = replace(
        record,
        ended=now,
        seconds=drilling.seconds,
        evidence=tuple(drilling.evidence),
        left=tuple(drilling.left),
    )
    wrong = (*drilling.left, *(() if interrupted else drilling.wrong))
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return replace(done, result="bad", message=f"{wrong[0]}{more}")
    if interrupted:
        return replace(done, result="interrupted", message="interrupted; everything is put back")
    held = sum(one.good is True for one in drilling.evidence)
    return replace(done, result="good", message=f"{held} checks, all good", last_good=now)


def _invalid(contract: Contract, happened: str, do: str) -> Invalid:
    return Invalid(tried="run a drill", on=f"site {contract.site}", happened=happened, do=do)


def _now() -> datetime:
    return datetime.now(UTC)
