"""Ask again by the kind of the failure, within a bounded time, and say each time what for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from harness.errors import HarnessError
from harness.pve.errors import DaemonDown, Dropped, Locked, Stalled, Undelivered
from harness.wait import wait_until

READ_TRIES = 4
STALLED_TRIES = 2
# A read is not begun again later than this: PVE's own wait for a lock, twice, and a little.
READ_LIMIT_S = 30.0
# What a restart of PVE's daemons takes; a whole machine's is not waited for.
RESTART_S = 10.0

Note = Callable[[str], None]
Ask = Callable[[], Any]


class Patience:
    """With one hypervisor in one run: who never answered is not waited for, nor is one that was waited for in vain."""

    def __init__(self) -> None:
        self._is_there = False

    def with_read(self, ask: Ask, asked: str, note: Note) -> Any:
        """A lost answer, a lock and a request that did not arrive are worth another try."""
        return self._repeat(ask, asked, note, worth=_worth_a_read)

    def with_write(self, ask: Ask, asked: str, note: Note) -> Any:
        """Only what certainly did not arrive: anything else may have been done."""
        return self._repeat(ask, asked, note, worth=lambda error, _: isinstance(error, Undelivered))

    def _repeat(self, ask: Ask, asked: str, note: Note, *, worth: Callable[[HarnessError, int], bool]) -> Any:
        began, tries = time.monotonic(), 0

        def look() -> tuple[tuple[Any] | None, str]:
            nonlocal tries
            tries += 1
            try:
                answer = ask()
            except HarnessError as error:
                if not worth(error, tries) or not self._in_time(error, time.monotonic() - began):
                    raise
                note(f"{asked}: {error.happened}; asked again")
                return None, error.happened
            self._is_there = True
            return (answer,), "answered"

        waited = wait_until(look, deadline_s=float("inf"), first_pause_s=0.3)
        assert waited.value is not None  # noqa: S101 - no deadline: the wait ends with a value or an exception
        return waited.value[0]

    def _in_time(self, error: HarnessError, waited_s: float) -> bool:
        if isinstance(error, DaemonDown) or not isinstance(error, Undelivered):
            self._is_there = True
        if isinstance(error, Undelivered) and waited_s >= RESTART_S:
            self._is_there = False
        return self._is_there and waited_s < READ_LIMIT_S


def _worth_a_read(error: HarnessError, tries: int) -> bool:
    match error:
        case Undelivered():
            return True
        case Stalled():
            return tries < STALLED_TRIES
        case Dropped() | Locked():
            return tries < READ_TRIES
        case _:
            return False
