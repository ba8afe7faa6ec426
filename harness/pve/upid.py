"""Follow one of PVE's asynchronous tasks to its end, and say within a second when it failed, with what its log says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import Invalid, TaskFailed, TimedOut
from harness.pve.client import Client
from harness.wait import wait_until

LOG_LINES_SHOWN = 5
LONGEST_PAUSE_S = 1.0
# Many tasks are waited for at once, and PVE answers with three workers. One that all wait for is asked for more often.
LATE, LATE_ALONE = 0.1, 0.02

_UPID = re.compile(
    r"UPID:(?P<node>[^:]+):(?P<pid>[0-9A-F]{8}):(?P<pstart>[0-9A-F]{8,9}):(?P<start>[0-9A-F]{8})"
    r":(?P<type>[^:\s/]+):(?P<id>[^:\s/]*):(?P<user>[^:\s/]+):"
)
_WARNINGS = re.compile(r"WARNINGS: \d+")
# PVE shows this for a moment while a finished task's last line is being written, and for ever when it was killed.
UNEXPECTED = "unexpected status"


@dataclass(frozen=True)
class Upid:
    """The name of a task. A clone's `id` is the template's VMID, not the new one's."""

    text: str
    node: str
    pid: int
    started_at: int  # seconds since the epoch
    type: str
    id: str
    user: str  # user@realm or user@realm!token

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class TaskEnd:
    """A task that succeeded; `warnings` are the lines of its log that say so."""

    upid: Upid
    warnings: tuple[str, ...]
    seconds: float


def parse_upid(text: object) -> Upid:
    found = _UPID.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise Invalid(
            tried="read the name of a task",
            on=repr(text)[:120],
            happened="PVE's answer is not a UPID",
            do="Report this with the call that was made: the tool and this PVE version misunderstand each other",
        )
    return Upid(
        found[0],
        found["node"],
        int(found["pid"], 16),
        int(found["start"], 16),
        found["type"],
        found["id"],
        found["user"],
    )


def wait_task(
    client: Client,
    upid: Upid,
    *,
    deadline_s: float,
    tried: str,
    on: str,
    check: Callable[[], None] = lambda: None,
    late: float = LATE,
) -> TaskEnd:
    """Poll until the task has ended; `check` is called before each look and may end the wait by raising.

    Its end may be seen that share of its length `late`.
    """
    doubted = False

    def look() -> tuple[str | None, str]:
        nonlocal doubted
        check()
        status = client.get(f"/nodes/{upid.node}/tasks/{upid.text}/status")
        if status.get("status") != "stopped":
            return None, str(status.get("status"))
        exit_status = str(status.get("exitstatus", UNEXPECTED))
        if exit_status == UNEXPECTED and not doubted:
            doubted = True
            return None, exit_status
        return exit_status, exit_status

    waited = wait_until(look, deadline_s=deadline_s, longest_pause_s=LONGEST_PAUSE_S, late=late)
    if waited.value is None:
        raise TimedOut(
            tried=tried,
            on=on,
            happened=f"the task {upid} has not ended after {waited.seconds:.0f} s (last seen: {waited.last_seen})",
            do="Look at the task in PVE; when it has ended, run the same command again: it goes on from there",
        )
    if waited.value == "OK":
        return TaskEnd(upid, (), waited.seconds)
    log = read_log(client, upid)
    if _WARNINGS.fullmatch(waited.value):
        return TaskEnd(upid, tuple(line for line in log if line.startswith("WARN")), waited.seconds)
    raise TaskFailed(
        upid=upid.text,
        exit_status_text=waited.value,
        log_tail=log[-LOG_LINES_SHOWN:],
        tried=tried,
        on=on,
        do=_advice(waited.value, log),
    )


def read_log(client: Client, upid: Upid) -> tuple[str, ...]:
    """All lines; an unknown task's log is an object instead of a list, with one line that says so."""
    lines = client.get(f"/nodes/{upid.node}/tasks/{upid.text}/log", {"limit": 0})
    return tuple(str(line.get("t", "")) for line in (lines if isinstance(lines, list) else [lines]))


def read_exit_status(client: Client, upid: Upid) -> str:
    return str(client.get(f"/nodes/{upid.node}/tasks/{upid.text}/status").get("exitstatus", "running"))


def is_running(client: Client, upid: Upid) -> bool:
    return bool(client.get(f"/nodes/{upid.node}/tasks/{upid.text}/status").get("status") == "running")


def _advice(exit_status: str, log: Sequence[str]) -> str:
    text = " ".join([exit_status, *log])
    if re.search(r"No space left|not enough free space|[Ff]ree space|no space", text):
        return "Free space on the storage, then run the same command again"
    if "got timeout" in text or "is locked" in text:
        return "Wait until the other job on this VM has ended, then run the same command again"
    if exit_status == UNEXPECTED:
        return "The task was killed on the node; look there for the reason, then run the same command again"
    return "Correct what the log names, then run the same command again"
