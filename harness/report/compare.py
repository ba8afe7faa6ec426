"""Say what changed between two runs of a site: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from harness.report.model import Check, ClauseResult, Overall, Report, Verdict

Kind = Literal["broken", "lost sight", "mended", "other"]
ORDER: tuple[Kind, ...] = ("broken", "lost sight", "mended", "other")


@dataclass(frozen=True)
class Turn:
    """A clause whose verdict is another one now, or other checks of which are wrong; None: it was not there."""

    clause: str
    title: str
    kind: Kind
    before: Verdict | None
    after: Verdict | None
    message: str
    newly_wrong: tuple[str, ...]  # checks that were not wrong before
    no_longer_wrong: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What is otherwise in `after` than it was in `before`."""

    before_at: datetime
    before_verdict: Overall
    after_at: datetime
    after_verdict: Overall
    turns: tuple[Turn, ...]
    notes: tuple[str, ...]  # what the inventory declares otherwise: VMs and waivers

    @property
    def same(self) -> bool:
        return not self.turns and not self.notes

    @property
    def worse(self) -> bool:
        return any(turn.kind in ("broken", "lost sight") for turn in self.turns)


def compare(before: Report, after: Report, *, partial: bool = False) -> Comparison:
    """Clauses by id, checks by name, VMs by name, waivers by clause.

    `partial`: `after` looked at a selection, so what it lacks is no news.
    """
    turns = sorted(_turns(_narrowed(before, after) if partial else before, after), key=_order)
    notes = (*_guest_notes(before, after), *_waiver_notes(before, after))
    return Comparison(before.started_at, before.verdict, after.started_at, after.verdict, tuple(turns), notes)


def _narrowed(before: Report, after: Report) -> Report:
    """`before` with the clauses and checks that `after` has too."""
    kept = {clause.id: {check.name for check in clause.checks} for clause in after.clauses}
    clauses = tuple(
        replace(clause, checks=tuple(check for check in clause.checks if check.name in kept[clause.id]))
        for clause in before.clauses
        if clause.id in kept
    )
    return replace(before, clauses=clauses)


def _order(turn: Turn) -> int:
    return ORDER.index(turn.kind)


def _turns(before: Report, after: Report) -> Iterator[Turn]:
    old = {clause.id: clause for clause in before.clauses}
    new = {clause.id: clause for clause in after.clauses}
    for name in dict.fromkeys((*new, *old)):
        turn = _turn(name, old.get(name), new.get(name))
        if turn is not None:
            yield turn


def _turn(name: str, old: ClauseResult | None, new: ClauseResult | None) -> Turn | None:
    known = new or old
    if known is None:
        return None
    was, now = (one.verdict if one else None for one in (old, new))
    wrong_before, wrong_now = _wrong(old), _wrong(new)
    newly = tuple(one for one in wrong_now if one not in wrong_before)
    no_longer = tuple(one for one in wrong_before if one not in wrong_now)
    # What a waived clause's checks say counts for nothing, so their coming and going is no news.
    if was == now and (now == "waived" or not (newly or no_longer)):
        return None
    kind = _kind(was, now, worse=bool(newly))
    return Turn(name, known.title, kind, was, now, new.message if new else "", newly, no_longer)


def _kind(was: Verdict | None, now: Verdict | None, *, worse: bool) -> Kind:
    if now == "fail" and (was != "fail" or worse):
        return "broken"
    if now == "unknown" and (was != "unknown" or worse):
        return "lost sight"
    if was in ("fail", "unknown") and (now in ("pass", "waived") or was == now):
        return "mended"
    return "other"


def _wrong(clause: ClauseResult | None) -> tuple[str, ...]:
    return tuple(check.name for check in _checks(clause) if check.verdict in ("fail", "unknown"))


def _checks(clause: ClauseResult | None) -> Iterable[Check]:
    return clause.checks if clause else ()


def _guest_notes(before: Report, after: Report) -> Iterator[str]:
    old = {guest.name: guest for guest in before.guests}
    new = {guest.name: guest for guest in after.guests}
    yield from (f"{name} (VM {new[name].vmid}) is declared now" for name in new if name not in old)
    yield from (f"{name} (VM {old[name].vmid}) is declared no longer" for name in old if name not in new)
    for name in (name for name in new if name in old):
        was, now = old[name], new[name]
        yield from (
            f"{name}: {what} {is_now} instead of {it_was}"
            for what, it_was, is_now in (
                ("VMID", was.vmid, now.vmid),
                ("MAC", was.mac, now.mac),
                ("address", was.address, now.address),
                ("category", was.category, now.category),
            )
            if it_was != is_now
        )


def _waiver_notes(before: Report, after: Report) -> Iterator[str]:
    old = {waiver.clause: waiver for waiver in before.waivers}
    new = {waiver.clause: waiver for waiver in after.waivers}
    yield from (f"{name} is waived now: {new[name].reason}" for name in new if name not in old)
    yield from (f"{name} is waived no longer" for name in old if name not in new)
    yield from (
        f"the waiver of {name} ends on {new[name].until} instead of {old[name].until}"
        for name in new
        if name in old and new[name].until != old[name].until
    )
