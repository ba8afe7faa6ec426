"""What backup tasks did for each VM, as their logs tell it: whether it worked, and which archive came of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.pve.backups import Archive
from harness.pve.client import Client
from harness.pve.parallel import in_flight
from harness.pve.read import read_permissions
from harness.pve.upid import Upid, parse_upid, read_log

# Two weeks of one job a night and ten backups by hand; PVE forgets its oldest tasks, too.
TASKS_READ = 500
# Logs of tasks about several VMs: those since the oldest of the newest archives, and no more than this.
JOBS_READ = 8
# An archive's name has the second in which the VM's turn came; the task's own times are whole seconds as well.
SLACK_S = 2
# The VM of a run that failed before it came to any: its log does not say which it was about.
EVERY = 0

_TURN = re.compile(r"INFO: Starting Backup of VM (\d+) ")
_UNTURNED = re.compile(r"ERROR: Backup of VM (\d+) failed - (.*)")
_NAME = re.compile(r"INFO: VM Name: (.*)")
_ARCHIVE = re.compile(r"INFO: creating vzdump archive '.*/([^/']+)'")
_SIZE = re.compile(r"INFO: archive file size: ([\d.]+)([KMGT]?)B")
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True)
class BackupRun:
    """One VM's turn in one task; None is what the log does not say."""

    upid: Upid
    vmid: int
    succeeded: bool
    said: str  # why not
    name: str | None = None  # the VM's name then
    archive: str | None = None  # the file's name
    size_bytes: int | None = None  # as coarse as PVE tells it


@dataclass(frozen=True)
class _Ended:
    upid: Upid
    ended_at: int
    status: str

    def held(self, moment: int) -> bool:
        return self.upid.started_at - SLACK_S <= moment <= self.ended_at + SLACK_S


def read_runs(client: Client, node: str, newest: Mapping[int, Archive | None]) -> tuple[BackupRun, ...]:
    """The latest turn of each of these VMs, and the one its newest archive came of; newest first."""
    read_permissions(client).need(f"/nodes/{node}", "Sys.Audit", to="list the backup tasks")
    entries = client.get(f"/nodes/{node}/tasks", {"typefilter": "vzdump", "limit": TASKS_READ})
    ended = [
        _Ended(parse_upid(entry["upid"]), int(entry["endtime"]), str(entry.get("status", "")))
        for entry in entries
        if "endtime" in entry
    ]
    wanted = set(_choose(ended, newest))
    chosen = [task for task in ended if task in wanted]  # in PVE's order: two tasks may begin in one second
    logs = in_flight(lambda task: read_log(client, task.upid), chosen)
    return tuple(run for task, log in zip(chosen, logs, strict=True) for run in parse_runs(task.upid, task.status, log))


def _choose(ended: Sequence[_Ended], newest: Mapping[int, Archive | None]) -> Iterator[_Ended]:
    """`ended` is newest first, as PVE lists tasks."""
    since = min((archive.made_at for archive in newest.values() if archive), default=0)
    jobs = [task for task in ended if not task.upid.id]
    later = [task for task in jobs if task.ended_at >= since]
    yield from (later or jobs[:1])[:JOBS_READ]
    for vmid, archive in newest.items():
        own = [task for task in ended if task.upid.id == str(vmid)]
        # One that had ended before the newest archive was begun is not the VM's latest turn.
        yield from (task for task in own[:1] if archive is None or task.ended_at + SLACK_S >= archive.made_at)
        yield from (task for task in own[1:] if archive and task.held(archive.made_at))


def parse_runs(upid: Upid, status: str, log: Sequence[str]) -> Iterator[BackupRun]:
    """One for each VM of the log, the last first; a task that ended before any turn failed for all it was about."""
    turns = [_turn(upid, vmid, lines) for vmid, lines in _turns(log)]
    if not turns and not _is_good(status):
        turns = [BackupRun(upid, int(upid.id) if upid.id.isdigit() else EVERY, succeeded=False, said=status)]
    yield from reversed(turns)


def _is_good(status: str) -> bool:
    return status == "OK" or status.startswith("WARNINGS: ")


def _turns(log: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    vmid: int | None = None
    lines: list[str] = []
    for line in log:
        start, failed = _TURN.match(line), _UNTURNED.match(line)
        if start:
            if vmid is not None:
                yield vmid, lines
            vmid, lines = int(start[1]), []
        elif failed and vmid != int(failed[1]):  # a VM that is not there has no turn
            yield int(failed[1]), [line]
            continue
        lines.append(line)
    if vmid is not None:
        yield vmid, lines


def _turn(upid: Upid, vmid: int, lines: Sequence[str]) -> BackupRun:
    text = "\n".join(lines)
    failed, size = _UNTURNED.search(text), _SIZE.search(text)
    finished = f"INFO: Finished Backup of VM {vmid} " in text
    name, archive = _NAME.search(text), _ARCHIVE.search(text)
    return BackupRun(
        upid=upid,
        vmid=vmid,
        succeeded=finished and failed is None,
        said=failed[2] if failed else "" if finished else "its log ends before the backup was finished",
        name=name[1].strip() if name else None,
        archive=archive[1] if archive else None,
        size_bytes=int(float(size[1]) * (1 << _UNITS[size[2]])) if size else None,
    )
