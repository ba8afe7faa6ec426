"""Wait for one condition with a deadline, and say at its end what was last seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Waited(Generic[T]):
    """What a wait ended with; `value` is None when the deadline came first."""

    value: T | None
    last_seen: str
    seconds: float


def wait_until(
    look: Callable[[], tuple[T | None, str]],
    *,
    deadline_s: float,
    first_pause_s: float = 0.1,
    longest_pause_s: float = 1.0,
    late: float = 0.2,
) -> Waited[T]:
    """Call `look` until its first element is not None or `deadline_s` seconds have passed.

    `look` returns (value or None, what it saw). Pauses grow from `first_pause_s` to `longest_pause_s` with the time
    that has passed: what took long may take `late` of that time longer before it is seen, and what is quick is seen at
    once. There is no pause after the last answer. Exceptions of `look` pass through.
    """
    started = time.monotonic()
    while True:
        value, seen = look()
        elapsed = time.monotonic() - started
        if value is not None or elapsed >= deadline_s:
            return Waited(value, seen, elapsed)
        pause = min(max(first_pause_s, elapsed * late), longest_pause_s)
        time.sleep(min(pause, max(0.0, deadline_s - elapsed)))
