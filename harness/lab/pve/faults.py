"""Break the calls, tasks and moments a test asked to be broken, or a seeded share of all of them."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

CALL_KINDS = (
    "status",  # an answer of this status and reason; nothing is done
    "lock",  # PVE's complaint about the VM's lock; nothing is done
    "stall",  # so many seconds, then as always
    "drop-before",  # the connection is closed: before anything is done, or after it
    "drop-after",
    "reset-before",  # the same, by a TCP reset
    "reset-after",
    "cut",  # done, and half of the answer is sent
    "596",  # done, but the proxy lost its backend (or another status of that kind: 597, 599)
    "596-before",  # the same words, and nothing was done
    "kill-before",  # the process `pid` (the caller's) is killed: before anything is done, or after it
    "kill-after",
    "crash-before",  # power loss: the simulator kills itself
    "crash-after",
    "snapshot-before",  # the state is kept under the name `text`
    "snapshot-after",
)
TASK_KINDS = (
    "task-fail",  # the task ends with `text`
    "task-stall",  # it takes so many seconds longer
    "task-warn",  # it succeeds with a warning
    "task-kill",  # its worker is killed half-way, as by the kernel's memory killer
    "task-crash",  # power loss half-way
)
CRASH_SAVED = "crash-saved"  # power loss right after the state was saved for the `at`-th time
ANSWER = "answer"  # what is answered is another node's truth: `patch` is merged into it; not counted, until taken back
KINDS = (*CALL_KINDS, *TASK_KINDS, CRASH_SAVED, ANSWER)

_UPID = re.compile(r"UPID:[^/]*")


def power_loss() -> None:
    """No handler runs, nothing is flushed: what is not on the disk is lost."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Fault:
    """One thing to break; `times` counts down, -1 is for ever. `at` is the number of the one call to hit, 0 any."""

    kind: str
    method: str = "*"
    path: str = ""
    task: str = "*"
    times: int = 1
    status: int = 500
    reason: str = ""
    text: str = "broken on request"
    seconds: float = 0.0
    at: int = 0
    pid: int = 0
    patch: Any = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}; one of {', '.join(KINDS)}")
        if self.kind.startswith("kill-") and self.pid <= 1:
            raise ValueError(f"{self.kind} needs the pid of the process to kill")
        re.compile(self.path)

    def hits_call(self, method: str, path: str, number: int) -> bool:
        wanted = self.kind in CALL_KINDS and self.method in {"*", method} and self.at in {0, number}
        return wanted and re.search(self.path, path) is not None

    def falsifies(self, method: str, path: str) -> bool:
        return self.kind == ANSWER and self.method in {"*", method} and re.search(self.path, path) is not None

    def hits_task(self, kind: str) -> bool:
        return self.kind in TASK_KINDS and self.task in {"*", kind}


@dataclass
class Chaos:
    """A share of all calls and tasks fails; which ones and how follows from the seed, not from who comes first."""

    seed: int
    share: float
    calls: Sequence[Fault] = ()
    tasks: Sequence[Fault] = ()
    _met: Counter[str] = field(default_factory=Counter)

    def strike(self, what: str, faults: Sequence[Fault]) -> Fault | None:
        """What befalls the n-th occurrence of `what`."""
        self._met[what] += 1
        luck = random.Random(f"{self.seed} {what} {self._met[what]}")  # noqa: S311 - chosen to be repeatable
        return luck.choice(faults) if faults and luck.random() < self.share else None


class Faults:
    """The faults that wait for their call or task."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Fault] = []
        self._chaos: Chaos | None = None
        self._saves = 0

    def add(self, fault: Fault) -> None:
        with self._lock:
            if fault.kind == CRASH_SAVED:
                self._saves = 0
            self._waiting.append(fault)

    def unleash(self, chaos: Chaos) -> None:
        with self._lock:
            self._chaos = chaos

    def take_back(self, fault: Fault) -> None:
        """Undo one `add`, and leave the others."""
        with self._lock:
            self._waiting.remove(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
            self._chaos = None
            self._saves = 0

    def listed(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._waiting]

    @property
    def saves(self) -> int:
        """How often the state was saved since the faults were cleared."""
        return self._saves

    def saved(self) -> None:
        """The state has just been saved."""
        with self._lock:
            self._saves += 1
            if any(fault.kind == CRASH_SAVED and fault.at == self._saves for fault in self._waiting):
                power_loss()

    def for_call(self, method: str, path: str, number: int = 0) -> Fault | None:
        found = self._take(lambda fault: fault.hits_call(method, path, number))
        with self._lock:
            if found is not None or self._chaos is None:
                return found
            return self._chaos.strike(f"{method} {_UPID.sub('UPID', path)}", self._chaos.calls)

    def falsify(self, method: str, path: str, answer: object) -> object:
        """The answer as the faults of kind `answer` want it, in the order they were added."""
        with self._lock:
            patches = [fault.patch for fault in self._waiting if fault.falsifies(method, path)]
        for patch in patches:
            answer = merge(answer, patch)
        return answer

    def for_task(self, kind: str, target: str = "") -> Fault | None:
        found = self._take(lambda fault: fault.hits_task(kind))
        with self._lock:
            if found is not None or self._chaos is None:
                return found
            mine = [fault for fault in self._chaos.tasks if fault.hits_task(kind)]
            return self._chaos.strike(f"{kind} {target}", mine)

    def _take(self, hits: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in self._waiting:
                if hits(fault):
                    fault.times -= 1
                    if fault.times == 0:
                        self._waiting.remove(fault)
                    return fault
        return None


def merge(value: object, patch: object) -> object:
    """`patch` over `value` as RFC 7396 has it: mappings key by key, None takes a key away, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(value) if isinstance(value, dict) else {}
    for key, part in patch.items():
        if part is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), part)
    return merged
