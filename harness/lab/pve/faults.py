"""Count the calls, and break the ones a test asked to be broken."""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

CALL_KINDS = ("status", "stall", "drop-before", "drop-after", "596")
TASK_KINDS = ("task-fail", "task-stall")


@dataclass
class Fault:
    """One thing to break; `times` counts down, -1 is for ever."""

    kind: str
    method: str = "*"
    path: str = ""
    task: str = ""
    times: int = 1
    status: int = 500
    reason: str = ""
    text: str = "broken on request"
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in CALL_KINDS + TASK_KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; one of {', '.join(CALL_KINDS + TASK_KINDS)}")
        re.compile(self.path)

    def hits_call(self, method: str, path: str) -> bool:
        wanted = self.kind in CALL_KINDS and self.method in {"*", method}
        return wanted and re.search(self.path, path) is not None

    def hits_task(self, kind: str) -> bool:
        return self.kind in TASK_KINDS and self.task in {"*", kind}


class Faults:
    """The faults that wait for their call or task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    def for_call(self, method: str, path: str) -> Fault | None:
        return self._take(lambda fault: fault.hits_call(method, path))

    def for_task(self, kind: str) -> Fault | None:
        return self._take(lambda fault: fault.hits_task(kind))

    def _take(self, hits: Any) -> Fault | None:
        with self._lock:
            for fault in self._waiting:
                if hits(fault):
                    fault.times -= 1
                    if fault.times == 0:
                        self._waiting.remove(fault)
                    return fault
        return None


class Counters:
    """How often each call was made, by method and path template."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    def count(self, method: str, template: str) -> None:
        with self._lock:
            self._calls[f"{method} {template}"] += 1

    def reset(self) -> None:
        with self._lock:
            self._calls.clear()

    def report(self) -> dict[str, Any]:
        """Logins write nothing: the law about a second `provision` is about changes."""
        with self._lock:
            calls = dict(self._calls)
        writes = sum(n for call, n in calls.items() if not call.startswith("GET ") and call != "POST /access/ticket")
        return {"writes": writes, "calls": calls}
