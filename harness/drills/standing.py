"""Judge a promise by its last drill: good and young enough, or wrong, or never shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from harness.contract import Contract
from harness.drills.catalogue import DRILLS, Drill
from harness.drills.record import Record, read_record

Verdict = Literal["good", "bad", "never"]


@dataclass(frozen=True)
class Standing:
    """What the drills so far say of one promise, and what comes next."""

    drill: str
    clause: str
    verdict: Verdict
    said: str
    do: str  # a command or what to declare; nothing is to be done when it is good
    last_good: datetime | None
    seconds: float | None
    evidence: tuple[str, ...]


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
        do=next_step(contract, drill.name),
    )


def next_step(contract: Contract, drill: str) -> str:
    """The command that runs it, after what has to be declared first."""
    run = contract.invoke(f"drill {drill}")
    declare = f"Allow it in the inventory (mgmt_site.drills: [{drill}]), then run {run}"
    return run if drill in contract.drills else declare


def judge(drill: str, clause: str, record: Record | None, *, now: datetime, max_age_days: int, do: str) -> Standing:
    """An interrupted drill shows nothing, so the last good one counts; one that was cut off may have left something."""
    verdict, said = _weigh(drill, record, now, max_age_days)
    return Standing(
        drill,
        clause,
        verdict,
        said,
        do,
        record.last_good if record else None,
        record.seconds if record else None,
        _evidence(record),
    )


def _weigh(drill: str, record: Record | None, now: datetime, max_age_days: int) -> tuple[Verdict, str]:
    if record is None:
        return "never", f"the drill {drill} has never been run here"
    if record.result == "unfinished":
        began = _when(record.began)
        return "bad", f"the drill {drill} of {began} was cut off, and what it changed may not be put back yet"
    if record.result == "bad":
        return "bad", f"the drill {drill} of {_when(record.ended or record.began)} failed: {record.message}"
    if record.last_good is None:
        return "never", f"the drill {drill} was interrupted, and never ran to its end here"
    age = now - record.last_good
    said = f"the last good drill {drill} was {ago(age)} ago ({_when(record.last_good)})"
    if age > timedelta(days=max_age_days):
        return "bad", f"{said}, and at most {max_age_days} days are allowed"
    return "good", said


def ago(age: timedelta) -> str:
    """A length of time in the unit a reader thinks in."""
    minutes = max(0, int(age.total_seconds() // 60))
    for length, unit in ((24 * 60, "day"), (60, "hour")):
        if minutes >= 2 * length:
            return f"{minutes // length} {unit}s"
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def _when(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _evidence(record: Record | None) -> tuple[str, ...]:
    if record is None:
        return ()
    signs = {True: "+", False: "-", None: " "}
    return tuple(f"{signs[one.good]} {one.at_s:6.1f} s {one.what}: {one.seen}" for one in record.evidence)
