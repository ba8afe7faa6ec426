"""Jobs, archives and runs as PVE lists them become what the specs compare."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError
from harness.pve.backup_runs import EVERY, BackupRun
from harness.pve.backups import Archive
from harness.pve.upid import parse_upid
from harness.verify.backup_facts import BackupFacts, parse_included, parse_retention, read_jobs
from harness.verify.derived import turns

OLD = Archive("local:backup/vzdump-qemu-130-2026_11_21-02_00_13.vma.zst", 130, 1_000, None, None, protected=False)
NEW = Archive("local:backup/vzdump-qemu-130-2026_11_22-02_00_13.vma.zst", 130, 90_000, None, None, protected=False)


def run(vmid: int, archive: Archive | None = None, *, succeeded: bool = True) -> BackupRun:
    upid = parse_upid("UPID:hv01:00002C43:000B255F:6B027C32:vzdump::root@pam:")
    file = archive.volid.rpartition("/")[2] if archive else None
    return BackupRun(upid, vmid, succeeded, "", "metrics-vm01", file, 1)


def test_the_newest_archive_and_what_made_it_are_found() -> None:
    facts = BackupFacts(90_600, (NEW, OLD), (run(131), run(130, NEW), run(130, OLD)))
    assert facts.newest(130) == NEW
    assert facts.newest(131) is None
    assert facts.age_s(NEW) == 600
    assert facts.maker(OLD, "hv01") == run(130, OLD)


def test_a_job_that_failed_as_a_whole_is_everybodys_last_run() -> None:
    facts = BackupFacts(90_600, (NEW,), (run(EVERY, succeeded=False), run(130, NEW)))
    assert not facts.last_run(130, "hv01").succeeded


def test_what_the_node_has_forgotten_cannot_be_looked_at() -> None:
    with pytest.raises(HarnessError, match=r"the task list of hv01 has no backup task about it any more"):
        BackupFacts(90_600, (NEW,), ()).maker(NEW, "hv01")


@pytest.mark.parametrize(
    ("said", "retention"),
    [
        ("keep-last=3,keep-daily=7", {"last": 3, "daily": 7}),
        ({"keep-last": "3"}, {"last": 3}),
        ("keep-all=1", {}),
        ({"keep-all": 1}, {}),
        ("keep-last=0", {}),
        (None, {}),
    ],
)
def test_keeping_everything_is_no_retention(said: object, retention: dict[str, int]) -> None:
    assert parse_retention(said) == retention


def test_jobs_that_are_off_or_of_another_kind_save_nothing() -> None:
    listed = [
        {"id": "off", "type": "vzdump", "enabled": 0, "storage": "local"},
        {"id": "sync", "type": "realm-sync", "enabled": 1},
        {"id": "on", "type": "vzdump", "storage": "local", "next-run": 1795401000},
    ]
    (job,) = read_jobs(listed, [{"storage": "local", "prune-backups": "keep-daily=7"}])
    assert (job.id, job.storage, job.next_run) == ("on", "local", 1795401000)
    assert job.retention == {"daily": 7}  # its storage's, where the job has none of its own


def test_a_job_that_prunes_nothing_has_no_retention() -> None:
    (job,) = read_jobs([{"id": "on", "storage": "local", "prune-backups": "keep-last=3", "remove": 0}], [])
    assert job.retention == {}


def test_disks_that_a_job_leaves_out_are_told_apart() -> None:
    disks = [{"id": "130:scsi0", "included": 1}, {"id": "130:scsi1", "included": 0}]
    answer = {"children": [{"id": 130, "type": "qemu", "children": disks}, {"id": 999, "type": "unknown"}]}
    assert parse_included(answer) == {130: {"scsi0": True, "scsi1": False}}


def test_vms_with_the_same_order_start_together_and_those_without_one_last() -> None:
    orders = {"logs-vm01": 20, "metrics-vm01": 20, "jump-vm01": 10, "other": None}
    assert turns(orders) == (("jump-vm01",), ("logs-vm01", "metrics-vm01"), ("other",))
