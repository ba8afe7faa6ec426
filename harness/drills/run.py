"""Run one drill: only where it is allowed, one at a time, after mending what an earlier one left, and on record."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from harness.contract import Contract, Guest
from harness.drills.catalogue import DRILLS, Drill
from harness.drills.courses import COURSES
from harness.drills.judging import Unjudged, judge_end
from harness.drills.mending import mend, settle_guard
from harness.drills.model import Drilling
from harness.drills.record import Record, read_record, write_record
from harness.drills.tools import Tools
from harness.errors import HarnessError, Invalid, Unsafe
from harness.interrupts import as_interrupts
from harness.locking import run_lock


@dataclass(frozen=True)
class Request:
    """What is asked for: a drill, on one guest where it is about one."""

    drill: Drill
    guest: Guest | None


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
    with Tools(contract) as tools, run_lock(contract, tools.guest_looks.hold, report), as_interrupts():
        settle_guard(tools, report)
        return conduct(asked, tools, report)


def conduct(asked: Request, tools: Tools, report: Callable[[str], None]) -> Record:
    """As `run_drill`, by whoever holds the site's locks; Unjudged when it was not found out."""
    state_dir, drill = tools.contract.state_dir, asked.drill
    mend(tools, report)
    record = _begun(tools.contract, drill)
    drilling = Drilling(tools.contract, tools, asked.guest, report)
    drilling.begin = lambda: write_record(state_dir, replace(record, undo=drilling.undo))
    stopped: BaseException | None = None
    try:
        COURSES[drill.name].run(drilling)
    except BaseException as failure:
        if not drilling.changing:
            raise  # nothing was changed, and nothing shown
        stopped = failure
    ended = judge_end(record, drilling, stopped)
    write_record(state_dir, ended)
    if stopped is not None and not isinstance(stopped, HarnessError):
        raise stopped
    if ended.result == "interrupted":
        site = f"site {tools.contract.site}"
        raise Unjudged(
            tried="judge the drill", on=site, happened=ended.message, do="Then run the drill again"
        ) from stopped
    return ended


def _begun(contract: Contract, drill: Drill) -> Record:
    before = read_record(contract.state_dir, drill.name)
    return Record(
        drill=drill.name,
        clause=drill.clause,
        site=contract.site,
        began=datetime.now(UTC),
        result="unfinished",
        message="it has begun",
        last_good=before.last_good if before else None,
    )


def _invalid(contract: Contract, happened: str, do: str) -> Invalid:
    return Invalid(tried="run a drill", on=f"site {contract.site}", happened=happened, do=do)
