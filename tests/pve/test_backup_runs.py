"""Backup tasks are read from their logs, in PVE's own words, turn by turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.pve.backup_runs import EVERY, BackupRun, parse_runs, read_runs
from harness.pve.backups import Archive
from harness.pve.upid import parse_upid

ONE = parse_upid("UPID:hv01:00002AFC:000B13A5:6B027C04:vzdump:130:root@pam:")
SEVERAL = parse_upid("UPID:hv01:00002C43:000B255F:6B027C32:vzdump::root@pam:")


def turn(vmid: int, name: str, size: str = "14MB", end: str | None = None) -> str:
    ended = end or f"INFO: Finished Backup of VM {vmid} (00:00:03)\nINFO: Backup finished at 2026-11-22 02:00:16"
    return f"""\
INFO: Starting Backup of VM {vmid} (qemu)
INFO: Backup started at 2026-11-22 02:00:13
INFO: status = running
INFO: VM Name: {name}
INFO: include disk 'scsi0' 'local-lvm:vm-{vmid}-disk-0' 4G
INFO: backup mode: snapshot
INFO: ionice priority: 7
INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-qemu-{vmid}-2026_11_22-02_00_13.vma.zst'
INFO: started backup task 'a8954d90-5b68-48f2-8691-e58f95281079'
INFO: 100% (4.0 GiB of 4.0 GiB) in 1s, read: 4.0 GiB/s, write: 15.1 MiB/s
INFO: archive file size: {size}
{ended}
"""


def runs(upid: object, status: str, *parts: str) -> list[BackupRun]:
    log = "".join(("INFO: starting new backup job: vzdump --pool mgmt --storage local\n", *parts)).splitlines()
    return list(parse_runs(parse_upid(str(upid)), status, log))


def test_a_good_run_says_what_came_of_it() -> None:
    (run,) = runs(ONE, "OK", turn(130, "metrics-vm01"))
    assert (run.vmid, run.succeeded, run.said, run.name) == (130, True, "", "metrics-vm01")
    assert run.archive == "vzdump-qemu-130-2026_11_22-02_00_13.vma.zst"
    assert run.size_bytes == 14 << 20


@pytest.mark.parametrize(
    ("said", "size"), [("0B", 0), ("36KB", 36 << 10), ("1.5GB", 3 << 29), ("2TB", 2 << 40), ("nothing", None)]
)
def test_sizes_are_as_coarse_as_pve_tells_them(said: str, size: int | None) -> None:
    (run,) = runs(ONE, "OK", turn(130, "metrics-vm01", said))
    assert run.size_bytes == size


def test_each_vm_of_a_job_has_its_own_end() -> None:
    failed = "ERROR: Backup of VM 131 failed - vma_queue_write: write error - Broken pipe"
    logs, metrics = runs(SEVERAL, "job errors", turn(130, "metrics-vm01"), turn(131, "logs-vm01", end=failed))
    assert (metrics.vmid, metrics.succeeded) == (130, True)
    assert (logs.vmid, logs.succeeded, logs.said) == (131, False, "vma_queue_write: write error - Broken pipe")


def test_a_vm_that_is_not_there_fails_alone() -> None:
    gone = "ERROR: Backup of VM 135 failed - unable to find VM '135'\n"
    found = runs(SEVERAL, "job errors", turn(130, "metrics-vm01"), gone, turn(131, "logs-vm01"))
    assert {run.vmid: run.succeeded for run in found} == {130: True, 131: True, 135: False}


def test_a_log_that_ends_in_the_middle_is_no_success() -> None:
    (run,) = runs(ONE, "unexpected status", turn(130, "metrics-vm01", end="INFO: resuming VM again"))
    assert (run.succeeded, run.said) == (False, "its log ends before the backup was finished")


def test_a_task_that_failed_before_any_turn_failed_for_all_it_was_about() -> None:
    (alone,) = runs(ONE, "storage 'usb' is disabled")
    assert (alone.vmid, alone.succeeded, alone.said) == (130, False, "storage 'usb' is disabled")
    (every,) = runs(SEVERAL, "storage 'usb' is disabled")
    assert every.vmid == EVERY


def test_a_job_about_nobody_is_nobodys_failure() -> None:
    assert runs(SEVERAL, "OK") == []


@pytest.mark.parametrize(
    ("own_after_job_s", "read"),
    [(-3600, ["the job's"]), (3600, ["its own", "the job's"])],
    ids=["before the newest archive", "after it"],
)
def test_a_task_older_than_the_newest_archive_is_not_read(own_after_job_s: int, read: list[str]) -> None:
    """Which of them was the latest turn can be told from the list alone."""
    began = SEVERAL.started_at
    own = f"UPID:hv01:00002AFC:000B13A5:{began + own_after_job_s:08X}:vzdump:130:root@pam:"
    entries = [
        {"upid": own, "endtime": began + own_after_job_s + 5, "status": "OK"},
        {"upid": SEVERAL.text, "endtime": began + 60, "status": "OK"},
    ]
    logs: list[str] = []

    def get(path: str, _: Any = None, **__: Any) -> Any:
        if path == "/access/permissions":
            return {"/": {"Sys.Audit": 1}}
        if path.endswith("/tasks"):
            return sorted(entries, key=lambda entry: -int(str(entry["endtime"])))
        logs.append("its own" if own in path else "the job's")
        return [{"n": 1, "t": "INFO: starting new backup job"}]

    newest = Archive("local:backup/vzdump-qemu-130.vma.zst", 130, began + 10, 1 << 20, None, protected=False)
    client = SimpleNamespace(get=get, who="audit@pve!verify", url="")
    read_runs(client, "hv01", {130: newest})  # type: ignore[arg-type]
    assert sorted(logs) == sorted(read)
