"""What PVE knows of the backups: the jobs and whom they cover, the archives, and how those were made. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError
from harness.pve import wire
from harness.pve.backup_runs import EVERY, BackupRun
from harness.pve.backups import Archive

# The node's clock and a file's whole second; more than this in the future is no backup of now.
AHEAD_S = 300


@dataclass(frozen=True)
class Job:
    """An enabled backup job; `disks` has, by VMID and slot, whether the job saves it."""

    id: str
    storage: str
    retention: Mapping[str, int]  # keep-… of the job, or of its storage where the job has none
    next_run: int | None
    disks: Mapping[int, Mapping[str, bool]]


@dataclass(frozen=True)
class BackupFacts:
    """Archives newest first, runs newest first, the node's clock, and the questions that gave all that."""

    clock: int
    archives: tuple[Archive, ...]
    runs: tuple[BackupRun, ...]
    asked: tuple[str, ...] = ()

    def newest(self, vmid: int) -> Archive | None:
        return next((archive for archive in self.archives if archive.vmid == vmid), None)

    def age_s(self, archive: Archive) -> int:
        return self.clock - archive.made_at

    def last_run(self, vmid: int, node: str) -> BackupRun:
        found = next((run for run in self.runs if run.vmid in (vmid, EVERY)), None)
        return found or _unseen(f"VM {vmid}", node)

    def maker(self, archive: Archive, node: str) -> BackupRun:
        """The run an archive came of."""
        file = archive.volid.rpartition("/")[2]
        return next((run for run in self.runs if run.archive == file), None) or _unseen(archive.volid, node)


def _unseen(what: str, node: str) -> BackupRun:
    raise HarnessError(
        tried="see how the backup was made",
        on=what,
        happened=f"the task list of {node} has no backup task about it any more",
        do="Make one that can be followed (backup.now)",
    )


def read_jobs(jobs: Iterable[Mapping[str, Any]], storages: Iterable[Mapping[str, Any]]) -> Iterator[Job]:
    """The enabled ones of `/cluster/backup`, without the disks they cover."""
    of_storage = {str(one["storage"]): one.get("prune-backups") for one in storages}
    for job in jobs:
        if job.get("type", "vzdump") == "vzdump" and wire.parse_bool(job.get("enabled", 1)):
            storage = str(job.get("storage", "local"))
            retention = parse_retention(job.get("prune-backups") or of_storage.get(storage))
            is_pruned = wire.parse_bool(job.get("remove", 1))
            following = job.get("next-run")
            yield Job(
                str(job["id"]),
                storage,
                retention if is_pruned else {},
                int(following) if following is not None else None,
                {},
            )


def parse_retention(said: object) -> dict[str, int]:
    """`keep-last=3,keep-daily=7`, or the same as a mapping; keeping everything is no retention."""
    if isinstance(said, Mapping):
        pairs = [(str(key), str(value)) for key, value in said.items()]
    else:
        pairs = re.findall(r"(keep-\w+)=(\d+)", str(said or ""))
    return {key.removeprefix("keep-"): int(count) for key, count in pairs if key != "keep-all" and int(count) > 0}


def parse_included(answer: Mapping[str, Any]) -> dict[int, dict[str, bool]]:
    """`included_volumes`: each VM, each of its disks, and whether it is saved."""
    return {
        int(vm["id"]): {
            str(disk["id"]).rpartition(":")[2]: wire.parse_bool(disk.get("included")) for disk in vm.get("children", ())
        }
        for vm in answer.get("children", ())
        if vm.get("type") == "qemu"
    }
