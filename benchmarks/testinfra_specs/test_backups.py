"""The backups: the job that makes them, the archives, and how they were made."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.testinfra_specs.promised import EXPECTED, GUESTS, NODE, Values

testinfra_hosts = [f"ssh://{EXPECTED['hypervisor']}"]
Api = Callable[[str], Any]
AHEAD_S = 300  # the node's clock and a file's whole second


@pytest.fixture(scope="module")
def jobs(api: Api) -> dict[str, Values]:
    return {one["id"]: one for one in api("/cluster/backup") if int(one.get("enabled", 1))}


@pytest.fixture(scope="module")
def saved(api: Api) -> dict[int, dict[str, bool]]:
    """Each VM's disks, and whether the job saves them."""
    volumes = api(f"/cluster/backup/{EXPECTED['backup_job']}/included_volumes")["children"]
    return {
        int(vm["id"]): {disk["id"].partition(":")[2]: bool(int(disk["included"])) for disk in vm["children"]}
        for vm in volumes
    }


@pytest.fixture(scope="module")
def clock(api: Api) -> int:
    return int(api(f"{NODE}/time")["time"])


@pytest.fixture(scope="module")
def newest(api: Api) -> dict[int, Values]:
    """Each VM's newest archive."""
    archives = api(f"{NODE}/storage/{EXPECTED['backup_storage']}/content --content backup")
    return {one["vmid"]: one for one in sorted(archives, key=lambda one: one["ctime"])}


@pytest.fixture(scope="module")
def logs(api: Api, clock: int) -> dict[int, str]:
    """What the log of the last backup says of each VM."""
    since = clock - EXPECTED["backup_max_age_s"]
    tasks = [one for one in api(f"{NODE}/tasks --typefilter vzdump --limit 500 --since {since}") if "endtime" in one]
    told: dict[int, str] = {}
    for task in reversed(tasks):
        lines = "\n".join(one["t"] for one in api(f"{NODE}/tasks/{task['upid']}/log --limit 0"))
        turns = re.split(r"^INFO: Starting Backup of VM (\d+) .*$", lines, flags=re.M)[1:]
        told |= {int(vmid): turn for vmid, turn in zip(turns[::2], turns[1::2], strict=True)}
    return told


# clause bootstrap.post-config: backup_job_is_the_declared_one
def test_backup_job_is_the_declared_one(jobs: dict[str, Values]) -> None:
    job = jobs[EXPECTED["backup_job"]]
    assert {key: str(job.get(key)) for key in EXPECTED["backup_options"]} == EXPECTED["backup_options"]
    assert job["prune-backups"] == EXPECTED["backup_keeps"]
    assert not {"all", "vmid", "exclude", "node"} & {key for key, value in job.items() if value}


# clause backup.scheduled: is_in_an_enabled_backup_job, none_of_its_disks_is_left_out
@GUESTS
def test_is_in_an_enabled_backup_job(jobs: dict[str, Values], saved: dict[int, dict[str, bool]], vm: Values) -> None:
    assert EXPECTED["backup_job"] in jobs
    assert vm["vmid"] in saved


@GUESTS
def test_none_of_its_disks_is_left_out(saved: dict[int, dict[str, bool]], vm: Values) -> None:
    left_out = {slot for slot, is_saved in saved[vm["vmid"]].items() if not is_saved}
    assert left_out <= set(vm["ephemeral_disks"])


# clause backup.scheduled: backup_jobs_write_to_local_storage
def test_backup_jobs_write_to_local_storage(api: Api, jobs: dict[str, Values]) -> None:
    local = {
        one["storage"]
        for one in api(f"{NODE}/storage")
        if one["type"] in EXPECTED["local_types"] and int(one["enabled"]) and "backup" in one["content"].split(",")
    }
    assert {job["storage"] for job in jobs.values()} <= local


# clause backup.scheduled: backup_jobs_keep_a_number_of_backups, backup_jobs_run_within_the_limit
def test_backup_jobs_keep_a_number_of_backups(jobs: dict[str, Values]) -> None:
    assert all(job.get("prune-backups") and "keep-all" not in job["prune-backups"] for job in jobs.values())


def test_backup_jobs_run_within_the_limit(jobs: dict[str, Values], clock: int) -> None:
    assert all(job["next-run"] - clock <= EXPECTED["backup_max_age_s"] for job in jobs.values())


# clause backup.recent: newest_backup_is_young, last_backup_succeeded
@GUESTS
def test_newest_backup_is_young(newest: dict[int, Values], clock: int, vm: Values) -> None:
    assert -AHEAD_S <= clock - newest[vm["vmid"]]["ctime"] <= EXPECTED["backup_max_age_s"]


@GUESTS
def test_last_backup_succeeded(logs: dict[int, str], vm: Values) -> None:
    assert f"INFO: Finished Backup of VM {vm['vmid']} " in logs[vm["vmid"]]
    assert f"ERROR: Backup of VM {vm['vmid']} failed" not in logs[vm["vmid"]]


# clause backup.recent: newest_backup_is_not_empty, newest_backup_is_of_this_vm
@GUESTS
def test_newest_backup_is_not_empty(newest: dict[int, Values], vm: Values) -> None:
    assert newest[vm["vmid"]]["size"] > 0


@GUESTS
def test_newest_backup_is_of_this_vm(newest: dict[int, Values], logs: dict[int, str], vm: Values) -> None:
    assert newest[vm["vmid"]]["volid"].rpartition("/")[2] in logs[vm["vmid"]]
    assert f"INFO: VM Name: {vm['name']}\n" in logs[vm["vmid"]]
