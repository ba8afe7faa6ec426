"""Ask a question before its answer is needed, so that waiting for the answer costs nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

# An answer older than this is asked for again: a full clone may take longer than what was seen before it stays true.
FRESH_S = 30.0
GOODBYE_S = 2.0


@dataclass
class _Asked:
    at: float
    known: threading.Event = field(default_factory=threading.Event)
    answer: Any = None
    error: BaseException | None = None


class Ahead:
    """Each question runs in a thread of its own, which an interrupted program does not wait for."""

    def __init__(self) -> None:
        self._asked: dict[Hashable, _Asked] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()

    def settle(self) -> None:
        """Let what was asked come to its end, for a moment: it may hold connections of its own."""
        deadline = time.monotonic() + GOODBYE_S
        for asked in self._asked.values():
            asked.known.wait(max(0.0, deadline - time.monotonic()))

    def ask(self, about: Hashable, look: Callable[[], object]) -> None:
        """Begin to look, unless that has begun lately."""
        self._begin(about, look)

    def answer(self, about: Hashable, look: Callable[[], T]) -> T:
        """What `look` returned or raised when it was asked ahead, or does now."""
        asked = self._begin(about, look)
        asked.known.wait()
        if asked.error is not None:
            raise asked.error
        found: T = asked.answer
        return found

    def early(self, about: Hashable, look: Callable[[], T], within_s: float) -> T | None:
        """The same, when it is known by so many seconds after it was asked; None when it is not."""
        asked = self._begin(about, look)
        known = asked.known.wait(max(0.0, asked.at + within_s - time.monotonic()))
        return self.answer(about, look) if known else None

    def _begin(self, about: Hashable, look: Callable[[], object]) -> _Asked:
        with self._lock:
            asked = self._asked.get(about)
            if asked is None or time.monotonic() - asked.at > FRESH_S:
                asked = self._asked[about] = _Asked(time.monotonic())
                threading.Thread(target=_look, args=(asked, look), daemon=True, name=f"ahead-{about}").start()
        return asked


def _look(asked: _Asked, look: Callable[[], object]) -> None:
    try:
        asked.answer = look()
    except BaseException as error:  # raised again by whoever needs the answer
        asked.error = error
    finally:
        asked.known.set()
