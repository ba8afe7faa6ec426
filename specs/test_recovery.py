"""Management VMs come back by themselves, and are not lost by a slip of the hand.

What only doing it can show is done by `./invoke drill`, never here: a spec holds the last drill to its promise.
"""

import pytest

from harness.contract import Guest, Hypervisor
from harness.observed import ObservedGuest
from harness.pve.backup_runs import BackupRun
from harness.pve.backups import Archive
from harness.verify.backup_facts import Job
from harness.verify.drilled import Drilled
from harness.verify.expect import Expect, show_turns

PLAN = "./invoke plan --guest"
NOW = "./invoke backup.now --guest"
BOOTSTRAP = "./invoke bootstrap"


@pytest.mark.clause("recovery.autostart")
def test_starts_with_the_hypervisor(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    expect(f"start of {guest.name} with the hypervisor", vm.onboot, True, at=guest, do=f"{PLAN} {guest.name}")


@pytest.mark.clause("recovery.autostart")
def test_starts_at_its_place(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    seen, declared = (vm.start_order, vm.start_delay_s), (guest.start_order, guest.start_delay_s)
    expect(f"start order and delay of {guest.name}", seen, declared, at=guest, do=f"{PLAN} {guest.name}")


@pytest.mark.clause("recovery.autostart")
def test_all_start_in_their_declared_turns(
    turns: tuple[tuple[str, ...], ...],
    declared_turns: tuple[tuple[str, ...], ...],
    hypervisor: Hypervisor,
    expect: Expect,
) -> None:
    seen, wanted = show_turns(turns), show_turns(declared_turns)
    expect("turns in which the VMs start", seen, wanted, at=hypervisor, do="./invoke plan")


@pytest.mark.clause("recovery.protected")
def test_is_protected(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    expect(f"protection of {guest.name}", vm.protection, True, at=guest, do=f"{PLAN} {guest.name}")


@pytest.mark.clause("backup.scheduled")
def test_is_in_an_enabled_backup_job(jobs_of: tuple[str, ...], guest: Guest, expect: Expect) -> None:
    expect.that(bool(jobs_of), f"backup jobs that save {guest.name}", jobs_of, "an enabled one", at=guest, do=BOOTSTRAP)


@pytest.mark.clause("backup.scheduled")
def test_none_of_its_disks_is_left_out(left_out: tuple[str, ...], guest: Guest, expect: Expect) -> None:
    todo = f"Take backup=0 off these disks of VM {guest.vmid}, or declare them in mgmt_vm.ephemeral_disks"
    expect(f"disks of {guest.name} that no backup job saves", left_out, (), at=guest, do=todo)


@pytest.mark.clause("backup.scheduled")
def test_backup_jobs_write_to_local_storage(
    saving_jobs: tuple[Job, ...], backup_storages: frozenset[str], hypervisor: Hypervisor, expect: Expect
) -> None:
    seen = {job.id: job.storage for job in saving_jobs if job.storage not in backup_storages}
    expect("backup jobs that write to no local storage", seen, {}, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("backup.scheduled")
def test_backup_jobs_keep_a_number_of_backups(
    saving_jobs: tuple[Job, ...], hypervisor: Hypervisor, expect: Expect
) -> None:
    seen = [job.id for job in saving_jobs if not job.retention]
    expect("backup jobs without retention", seen, [], at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("backup.scheduled")
def test_backup_jobs_run_within_the_limit(seldom: dict[str, str], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("backup jobs whose next run is too far", seldom, {}, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("backup.recent")
def test_newest_backup_is_young(young_backup: Archive, guest: Guest, expect: Expect) -> None:
    expect(f"newest backup of {guest.name} is of VM", young_backup.vmid, guest.vmid, at=guest, do=f"{NOW} {guest.name}")


@pytest.mark.clause("backup.recent")
def test_last_backup_succeeded(last_run: BackupRun, guest: Guest, expect: Expect) -> None:
    seen, todo = "it did" if last_run.succeeded else last_run.said, f"{NOW} {guest.name}"
    expect(f"whether the last backup of {guest.name} succeeded ({last_run.upid})", seen, "it did", at=guest, do=todo)


@pytest.mark.clause("backup.recent")
def test_newest_backup_is_not_empty(maker: BackupRun, guest: Guest, expect: Expect) -> None:
    todo = f"{NOW} {guest.name}"
    expect.that(
        bool(maker.size_bytes), f"size of {maker.archive}", f"{maker.size_bytes} bytes", "some", at=guest, do=todo
    )


@pytest.mark.clause("backup.recent")
def test_newest_backup_is_of_this_vm(maker: BackupRun, guest: Guest, expect: Expect) -> None:
    expect(f"VM that {maker.archive} was made of", maker.name, guest.name, at=guest, do=f"{NOW} {guest.name}")


@pytest.mark.clause("recovery.reboot")
def test_everything_came_back_after_the_last_restart(drilled: Drilled) -> None:
    drilled.shows("reboot")


@pytest.mark.clause("recovery.tenant-loss")
def test_nothing_missed_the_tenant_hypervisor_when_it_was_cut_off(drilled: Drilled) -> None:
    drilled.shows("tenant-loss")


@pytest.mark.clause("recovery.router-alone")
def test_the_router_served_on_alone(drilled: Drilled) -> None:
    drilled.shows("router-alone")


@pytest.mark.clause("recovery.rebuild")
def test_a_vm_was_built_again_as_itself(drilled: Drilled) -> None:
    drilled.shows("rebuild")


@pytest.mark.clause("backup.restorable")
def test_a_backup_booted_beside_its_vm(drilled: Drilled) -> None:
    drilled.shows("restore")
