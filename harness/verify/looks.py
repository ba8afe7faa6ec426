"""Take each look once per run, remember how it went, and know which facts each check stood on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from harness.errors import HarnessError
from harness.evidence import Evidence, Fact

T = TypeVar("T")
Look = Callable[[Evidence], T]


class NotLooked(HarnessError):
    """Nobody asked this during the run."""


@dataclass(frozen=True)
class _Taken:
    value: Any
    error: Exception | None
    facts: tuple[Fact, ...]


class Looks:
    """The answers of one run by question. A look that failed stays failed: nobody waits for the same time-out twice."""

    def __init__(self) -> None:
        self._taken: dict[str, Future[_Taken]] = {}
        self._lock = threading.Lock()
        self._used: dict[Fact, None] = {}
        self._closed = False
        self._begun: list[tuple[threading.Thread, ThreadPoolExecutor]] = []
        self._thread = threading.local()

    def close(self) -> None:
        """From now on only what was looked at can be had: a question nobody asked raises NotLooked."""
        self._closed = True

    def take(self, key: str, look: Look[T]) -> T:
        """The answer to `key`, looked up now if nobody did; its facts become evidence of the check that is running."""
        taken = self._fetch(key, look)
        self.note(*taken.facts)
        if taken.error is not None:
            raise taken.error.with_traceback(None)
        return cast(T, taken.value)

    def fetch(self, key: str, look: Look[T]) -> T:
        """As `take`, for a look whose parts become evidence one by one; only its failure is noted whole."""
        taken = self._fetch(key, look)
        if taken.error is not None:
            self.note(*taken.facts)
            raise taken.error.with_traceback(None)
        return cast(T, taken.value)

    def together(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Run tasks that take looks all at once, ahead of the checks; what fails waits for the check that needs it."""
        self.ahead(tasks)
        self.settle()

    def ahead(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Begin with them and wait for none; what they look at is no evidence of a check that runs meanwhile."""
        if not tasks:
            return
        pool = ThreadPoolExecutor(max_workers=len(tasks), initializer=self._stand_apart)
        # From a thread of its own: each start waits until the new thread runs, which the checks have no time for.
        starter = threading.Thread(target=lambda: [pool.submit(task) for task in tasks])
        starter.start()
        self._begun.append((starter, pool))

    def settle(self) -> None:
        """Wait for all that was begun ahead."""
        for starter, pool in self._begun:
            starter.join()
            pool.shutdown()

    def note(self, *facts: Fact) -> None:
        """Count `facts` as evidence of the check that is running."""
        if not getattr(self._thread, "apart", False):
            self._used.update(dict.fromkeys(facts))

    def start_check(self) -> None:
        self._used = {}

    def used(self) -> tuple[Fact, ...]:
        """What the check that is running has looked at so far."""
        return tuple(self._used)

    def _stand_apart(self) -> None:
        self._thread.apart = True

    def _fetch(self, key: str, look: Look[T]) -> _Taken:
        with self._lock:
            future = self._taken.get(key)
            mine = future is None
            if future is None and self._closed:
                raise NotLooked(tried="look", on=key, happened="nobody asked in this run", do="Verify the whole site")
            if future is None:
                future = self._taken[key] = Future()
        if mine:
            future.set_result(_look_now(look))
        return future.result()


def _look_now(look: Look[T]) -> _Taken:
    evidence = Evidence()
    try:
        value = look(evidence)
    except Exception as error:  # kept whole, and raised again for every check that needs the answer
        return _Taken(None, error, tuple(evidence.facts))
    return _Taken(value, None, tuple(evidence.facts))
