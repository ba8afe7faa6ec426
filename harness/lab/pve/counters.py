"""Count the calls, number them, and remember what was written, and with what effect."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_SECRET = ("password", "secret", "sshkeys")


class Counters:
    """How often each call was made, by method and path template; `next_number` counts every request, faulty or not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._number = 0
        self._written: list[dict[str, Any]] = []

    def next_number(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def count(self, method: str, template: str) -> None:
        with self._lock:
            self._calls[f"{method} {template}"] += 1

    @contextmanager
    def write(self, number: int, method: str, path: str, sent: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """A write that arrived, done or refused, and when; the caller fills in its `task`."""
        shown = {name: value for name, value in sent.items() if not any(word in name for word in _SECRET)}
        entry = {"number": number, "method": method, "path": path, "params": shown, "done": False, "task": None}
        entry |= {"began": time.time(), "ended": None}
        with self._lock:
            self._written.append(entry)
        yield entry
        entry |= {"done": True, "ended": time.time()}

    def reset(self) -> None:
        with self._lock:
            self._calls.clear()
            self._written.clear()
            self._number = 0

    def written(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._written)

    def report(self) -> dict[str, Any]:
        """Logins write nothing: the law about a second `provision` is about changes."""
        with self._lock:
            calls = dict(self._calls)
        writes = sum(n for call, n in calls.items() if not call.startswith("GET ") and call != "POST /access/ticket")
        return {"writes": writes, "calls": calls}

    @property
    def requests(self) -> int:
        return self._number
