"""Count the calls, number them, and remember which writes had an effect."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

_SECRET = ("password", "secret", "sshkeys")


class Counters:
    """How often each call was made, by method and path template; `next_number` counts every request, faulty or not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._number = 0
        self._done: list[dict[str, Any]] = []

    def next_number(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def count(self, method: str, template: str) -> None:
        with self._lock:
            self._calls[f"{method} {template}"] += 1

    def wrote(self, number: int, method: str, path: str, sent: Mapping[str, Any]) -> None:
        """A write that PVE did as it was asked, whether or not its answer arrives."""
        shown = {name: value for name, value in sent.items() if not any(word in name for word in _SECRET)}
        with self._lock:
            self._done.append({"number": number, "method": method, "path": path, "params": shown})

    def reset(self) -> None:
        with self._lock:
            self._calls.clear()
            self._done.clear()
            self._number = 0

    def done(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._done)

    def report(self) -> dict[str, Any]:
        """Logins write nothing: the law about a second `provision` is about changes."""
        with self._lock:
            calls, number = dict(self._calls), self._number
        writes = sum(n for call, n in calls.items() if not call.startswith("GET ") and call != "POST /access/ticket")
        return {"writes": writes, "calls": calls, "requests": number}
