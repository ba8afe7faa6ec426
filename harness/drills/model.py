"""What a drill on its way is given to work with, and what it notes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from harness.contract import Contract, Guest
from harness.drills.record import Observation
from harness.drills.tools import Tools
from harness.errors import HarnessError
from harness.interrupts import uninterrupted


@dataclass
class Drilling:
    """A drill on its way: it notes what it sees, and whatever it changes is undone."""

    contract: Contract
    tools: Tools
    guest: Guest | None
    report: Callable[[str], None]
    begin: Callable[[], None] = lambda: None  # puts on disk that it is under way, and what is to be undone
    undo: dict[str, str] = field(default_factory=dict)  # what mending needs, on disk before the change it is about
    evidence: list[Observation] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    changing: bool = False
    _began: float = field(default_factory=time.monotonic)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Every promise that did not hold, in a sentence each."""
        return tuple(
            f"{one.what}: expected {one.wanted}, seen {one.seen}" for one in self.evidence if one.good is False
        )

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def tell(self, text: str) -> None:
        """A line of progress. Whoever read it may be gone (a lost terminal): that must not keep us from undoing."""
        with suppress(OSError):
            self.report(f"[{self.seconds:6.1f} s] {text}")

    def note(self, what: str, seen: str) -> None:
        self.evidence.append(Observation(self.seconds, what, seen))

    def check(self, what: str, *, wanted: str, seen: str, good: bool | None = None) -> bool:
        """Hold what is seen against what must be; the drill goes on, and ends badly when it does not hold."""
        holds = wanted == seen if good is None else good
        self.evidence.append(Observation(self.seconds, what, seen, wanted, holds))
        if not holds:
            self.tell(f"{what}: expected {wanted}, seen {seen}")
        return holds

    def remember(self, **what: str) -> None:
        """Have it on disk now: whoever mends this drill after it was cut off knows it from `undo`."""
        self.undo.update(what)
        self.begin()
        self.changing = True

    @contextmanager
    def changes(self, what: str, undo: Callable[[], None]) -> Iterator[None]:
        """Everything that changes something happens in here; `undo` runs on every way out, and is not interrupted."""
        if not self.changing:
            self.remember()
        self.tell(what)
        try:
            yield
        finally:
            with uninterrupted():
                self._undo(what, undo)

    def _undo(self, what: str, undo: Callable[[], None]) -> None:
        """What cannot be undone is said beside the first failure, never instead of it."""
        try:
            undo()
        except HarnessError as error:
            self.left.append(f"{what}; undoing that failed, and the next drill begins with it: {error}")
            self.tell(self.left[-1])
