"""Run PVE's workers: a UPID at once, the work in a thread, its log and end kept for whoever asks later."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .durations import INSTANT, WORK
from .failures import ApiError, bad_parameters
from .faults import Fault, Faults, power_loss
from .runtime import RuntimeFailed
from .state import State

UPID = re.compile(
    r"UPID:([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?):([0-9A-F]{8}):([0-9A-F]{8,9}):([0-9A-F]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):"
)
KEPT = 1000  # finished tasks
Log = Callable[[str], None]


class Interrupted(ApiError):
    """Somebody stopped the task."""

    def __init__(self) -> None:
        super().__init__(500, "received interrupt")


class Killed(BaseException):
    """The worker's process is gone at once: no clean-up, no last line."""


class Worker:
    """What the work of one task may do: write its log, spend time, notice that it is to stop."""

    def __init__(self, record: dict[str, Any], pace: float, least_s: Mapping[str, float]) -> None:
        self.record = record
        self.pace = pace
        self._least_s = least_s
        self.stop_asked = threading.Event()
        self.is_killed = False
        self.fate: Fault | None = None  # what a test asked to befall it half-way

    @property
    def upid(self) -> str:
        return str(self.record["upid"])

    def log(self, line: str) -> None:
        self.record["log"].append(line)

    def warn(self, line: str) -> None:
        self.record["warnings"] = self.record.get("warnings", 0) + 1
        self.log(f"WARN: {line}")

    def spend(self, seconds: float) -> None:
        """Wait as PVE would; raises Interrupted when the task is stopped meanwhile."""
        if self.fate is not None and self.fate.kind == "task-crash":
            power_loss()
        if self.fate is not None and self.fate.kind == "task-kill":
            raise Killed
        self._wait(seconds * self.pace)

    @contextlib.contextmanager
    def taking_its_time(self) -> Iterator[None]:
        """What is done within takes at least as long as this type of task does; a failure comes at once."""
        began = time.monotonic()
        yield
        rest = self._least_s.get(self.record["type"], 0.0) * self.pace - (time.monotonic() - began)
        if rest > 0:
            self._wait(rest)

    def _wait(self, seconds: float) -> None:
        if self.stop_asked.wait(seconds):
            raise Killed if self.is_killed else Interrupted


class Tasks:
    """All tasks, the newest first in every list."""

    def __init__(self, state: State, faults: Faults, node: str, pace: float) -> None:
        self._state, self._faults, self._node, self._pace = state, faults, node, pace
        self._running: dict[str, tuple[Worker, threading.Thread]] = {}
        self._close_torn()

    def _close_torn(self) -> None:
        """A task that ran when the process was killed has no last line, which PVE calls an unexpected status."""
        with self._state.changing() as data:
            for record in data["tasks"]:
                if "endtime" not in record:
                    record |= {"endtime": int(time.time()), "status": "unexpected status"}

    @property
    def work(self) -> str:
        """How long the tasks that begin from now on take; kept over a power cut."""
        return str(self._state.data.get("work", INSTANT))

    def take_work(self, work: str) -> None:
        if work not in WORK:
            raise ValueError(f"unknown work {work!r}; one of {', '.join(WORK)}")
        with self._state.changing() as data:
            data["work"] = work

    def start(self, kind: str, target: str, user: str, work: Callable[[Worker], None]) -> str:
        """Begin `work` and return its UPID; whatever it raises becomes the task's exit status."""
        with self._state.changing() as data:
            data["next_pid"] += 1
            record = self._record(data["next_pid"], kind, target, user)
            data["tasks"].insert(0, record)
            del data["tasks"][KEPT:]
        worker = Worker(record, self._pace, WORK[self.work])
        thread = threading.Thread(target=self._run, args=(worker, work), name=record["upid"], daemon=True)
        self._running[record["upid"]] = (worker, thread)
        thread.start()
        return str(record["upid"])

    def _record(self, pid: int, kind: str, target: str, user: str) -> dict[str, Any]:
        began, ticks = time.time(), int(time.monotonic() * 100)
        started = int(began)
        upid = f"UPID:{self._node}:{pid:08X}:{ticks:08X}:{started:08X}:{kind}:{target}:{user}:"
        owner, _, token = user.partition("!")
        record = {"upid": upid, "node": self._node, "pid": pid, "pstart": ticks, "starttime": started}
        record["began"] = began  # PVE keeps whole seconds alone: this is for the side door
        record |= {"type": kind, "id": target, "user": owner, "log": []}
        return record | ({"tokenid": token} if token else {})

    def _run(self, worker: Worker, work: Callable[[Worker], None]) -> None:
        try:
            self._work(worker, work)
            warnings = worker.record.get("warnings", 0)
            status = f"WARNINGS: {warnings}" if warnings else "OK"
            last = f"TASK {status}"
        except (Interrupted, Killed):
            status, last = "unexpected status", ""
        except ApiError as error:
            status = error.task_text()
            last = f"TASK ERROR: {status}"
        except Exception as error:  # the task's end is where PVE shows any failure; losing it would hide a bug of ours
            status = f"{type(error).__name__}: {error}"
            last = f"TASK ERROR: {status}"
            raise
        finally:
            with self._state.changing():
                if last:
                    worker.log(last)
                ended = time.time()
                worker.record |= {"endtime": int(ended), "ended": ended, "status": status}
            self._running.pop(worker.upid, None)

    def _work(self, worker: Worker, work: Callable[[Worker], None]) -> None:
        worker.fate = fault = self._faults.for_task(worker.record["type"], worker.record["id"])
        match fault:
            case Fault(kind="task-fail"):
                raise ApiError(500, fault.text)
            case Fault(kind="task-stall"):
                worker.record["stall_s"] = fault.seconds
            case Fault(kind="task-warn"):
                worker.warn(fault.text)
        try:
            work(worker)
        except RuntimeFailed as error:
            raise ApiError(500, str(error)) from error

    def wait(self, upid: str, timeout_s: float) -> bool:
        """Whether the task ended within `timeout_s`."""
        running = self._running.get(upid)
        if running is not None:
            running[1].join(timeout_s)
        return upid not in self._running

    def stop(self, upid: str) -> None:
        if (running := self._running.get(upid)) is not None:
            running[0].stop_asked.set()
            running[1].join(5 * self._pace)

    def kill(self, upid: str) -> None:
        """As by SIGKILL: whatever the worker had half done stays half done."""
        worker, thread = self._running[upid]
        worker.is_killed = True
        worker.stop_asked.set()
        thread.join(5)

    def kill_all(self) -> None:
        for upid in list(self._running):
            with contextlib.suppress(KeyError):  # it has ended by itself
                self.kill(upid)

    def find(self, upid: str) -> dict[str, Any]:
        """The record of a UPID; PVE's two refusals for a wrong and for an unknown one."""
        if not UPID.fullmatch(upid):
            raise bad_parameters({"upid": "unable to parse worker upid"})
        for record in self.all():
            if record["upid"] == upid:
                return record
        raise bad_parameters({"upid": "no such task"})

    def all(self) -> list[dict[str, Any]]:
        with self._state.lock:
            return list(self._state["tasks"])
