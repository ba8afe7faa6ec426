"""Faults of backups: of the jobs that make them, and of what came of it."""

from __future__ import annotations

import time

from tests.faults.fault import Fault
from tests.faults.ways import (
    Way,
    archived,
    backed_up_in_vain,
    called,
    controlled,
    edited_behind_the_api,
)

GUEST, VMID, OTHER_VMID = "metrics-vm01", 130, 135
SCHEDULED, RECENT, POST = ("backup.scheduled",), ("backup.recent",), ("bootstrap.post-config",)
DAYS_AGO = int(time.time()) - 3 * 86400


def logged(pattern: str, new: str) -> Way:
    begins = f"INFO: Starting Backup of VM {VMID} (qemu)"  # one task saves several
    return controlled(op="edit-log", task="vzdump", after=begins, pattern=pattern, new=new)


def second_job(**changes: str) -> Way:
    job = {"id": "second", "pool": "mgmt", "storage": "local", "schedule": "03:00", "prune-backups": "keep-last=2"}
    return called("POST", "/cluster/backup", **(job | changes))


FAULTS = (
    Fault(
        "a backup job that is switched off",
        (*SCHEDULED, *POST),
        f"backup jobs that save {GUEST}: expected an enabled one, seen none",
        called("PUT", "/cluster/backup/nightly", enabled="0"),
    ),
    Fault(
        "a disk that no backup has",
        SCHEDULED,
        f"disks of {GUEST} that no backup job saves: expected none, seen scsi0",
        edited_behind_the_api(VMID, scsi0=f"local-lvm:base-9000-disk-0/vm-{VMID}-disk-0,size=2G,backup=0"),
    ),
    Fault(
        "a backup job to a storage that is not here",
        SCHEDULED,
        "backup jobs that write to no local storage: expected none, seen second: elsewhere",
        second_job(storage="elsewhere"),
    ),
    Fault(
        "a backup job that keeps everything",
        SCHEDULED,
        "backup jobs without retention: expected none, seen second",
        second_job(**{"prune-backups": "keep-all=1"}),
    ),
    Fault(
        "a backup job once a month",
        SCHEDULED,
        "backup jobs whose next run is too far: expected none, seen second: never",
        second_job(schedule="monthly"),
    ),
    Fault(
        "a backup that is gone",
        RECENT,
        f"backups of {GUEST}: expected a young one, seen none",
        archived(VMID, op="remove-volume"),
    ),
    Fault(
        "an old backup",
        RECENT,
        "expected at most 26 h, seen 3 days",
        archived(VMID, op="edit-volume", set={"ctime": DAYS_AGO}),
    ),
    Fault(
        "a later backup that failed",
        RECENT,
        f"whether the last backup of {GUEST} succeeded",
        backed_up_in_vain(VMID),
    ),
    Fault(
        "an empty backup",
        RECENT,
        "seen 0 bytes",
        logged(r"archive file size: .*", "archive file size: 0B"),
    ),
    Fault(
        "a backup of what was another VM then",
        RECENT,
        f"expected {GUEST}, seen older-vm01",
        logged(r"VM Name: .*", "VM Name: older-vm01"),
    ),
)
