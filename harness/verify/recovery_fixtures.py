"""What specs about services, start order and backups may ask for."""

from __future__ import annotations

import time

import pytest

from harness.contract import Contract, Guest
from harness.observed import ObservedGuest, ObservedStorage
from harness.plan.losses import said_age
from harness.pve.backup_runs import BackupRun
from harness.pve.backups import Archive
from harness.verify import derived, marks
from harness.verify.backup_facts import AHEAD_S, BackupFacts, Job
from harness.verify.expect import Expect, Pending, place
from harness.verify.site_view import SiteView

# --- services ----------------------------------------------------------------------------------------------------


@pytest.fixture
def declared_units(guest: Guest) -> tuple[str, ...]:
    """What the guest must run; where nothing is declared yet, nothing can be said."""
    if not guest.services:
        carried = " or ".join(f"mgmt_workloads.{name}" for name in guest.responsibilities)
        said = f"no service is declared for {guest.name}"
        raise Pending(f"{said}: declare {carried or 'a responsibility'}, or mgmt_vm.services ({place(guest.declared)})")
    return tuple(service.unit for service in guest.services)


# --- start order -------------------------------------------------------------------------------------------------


@pytest.fixture
def declared_turns(contract: Contract) -> tuple[tuple[str, ...], ...]:
    return derived.turns({guest.name: guest.start_order for guest in contract.guests})


@pytest.fixture
def turns(vms: tuple[ObservedGuest, ...], contract: Contract) -> tuple[tuple[str, ...], ...]:
    """The order in which PVE would start the guests after a restart, those of one turn together."""
    names = {int(guest.vmid): guest.name for guest in contract.guests}
    return derived.turns({names[vm.vmid]: vm.start_order for vm in vms if vm.vmid in names and vm.onboot})


# --- backups -----------------------------------------------------------------------------------------------------


@pytest.fixture
def saving_jobs(site: SiteView, contract: Contract) -> tuple[Job, ...]:
    """The enabled jobs that save one of our VMs."""
    vmids = {int(guest.vmid) for guest in contract.guests}
    return tuple(job for job in site.jobs() if vmids & job.disks.keys())


@pytest.fixture
def jobs_of(saving_jobs: tuple[Job, ...], guest: Guest) -> tuple[str, ...]:
    return tuple(job.id for job in saving_jobs if guest.vmid in job.disks)


@pytest.fixture
def left_out(saving_jobs: tuple[Job, ...], guest: Guest) -> tuple[str, ...]:
    """Disks of the guest that no job saves, but those that a rebuild may destroy."""
    disks = [job.disks[guest.vmid] for job in saving_jobs if guest.vmid in job.disks]
    slots = dict.fromkeys(slot for each in disks for slot in each)
    unsaved = (slot for slot in slots if not any(each.get(slot) for each in disks))
    return tuple(slot for slot in unsaved if slot not in guest.ephemeral_disks)


@pytest.fixture
def backup_storages(storages: tuple[ObservedStorage, ...]) -> frozenset[str]:
    """Local storages that take backups."""
    takers = (one for one in storages if one.enabled and "backup" in one.content and marks.is_local(one))
    return frozenset(one.name for one in takers)


@pytest.fixture
def backup_facts(site: SiteView) -> BackupFacts:
    return site.backups()


@pytest.fixture
def newest_backup(backup_facts: BackupFacts, guest: Guest, expect: Expect) -> Archive:
    found = backup_facts.newest(guest.vmid)
    if found is None:
        raise expect.broken(f"backups of {guest.name}", "none", "a young one", at=guest, do=_now(guest))
    return found


@pytest.fixture
def young_backup(
    newest_backup: Archive, backup_facts: BackupFacts, contract: Contract, guest: Guest, expect: Expect
) -> Archive:
    """The newest one, when it is young enough to be asked more."""
    age_s, limit_s = backup_facts.age_s(newest_backup), contract.backup_max_age_s
    what, wanted = f"age of {newest_backup.volid}", f"at most {said_age(limit_s)}"
    seen = said_age(age_s) if age_s >= 0 else f"{said_age(-age_s)} in the future"
    expect.that(-AHEAD_S <= age_s <= limit_s, what, seen, wanted, at=guest, do=_now(guest))
    return newest_backup


@pytest.fixture
def last_run(backup_facts: BackupFacts, young_backup: Archive, site: SiteView) -> BackupRun:
    """The last time that a backup of the guest was tried."""
    return backup_facts.last_run(young_backup.vmid, site.contract.hypervisor.node)


@pytest.fixture
def maker(backup_facts: BackupFacts, young_backup: Archive, site: SiteView) -> BackupRun:
    """The run the newest backup came of."""
    return backup_facts.maker(young_backup, site.contract.hypervisor.node)


@pytest.fixture
def seldom(saving_jobs: tuple[Job, ...], contract: Contract) -> dict[str, str]:
    """Jobs whose next run comes too late for the limit, and when it comes; without one, none comes at all."""
    now = time.time()
    late = (job for job in saving_jobs if job.next_run is None or job.next_run - now > contract.backup_max_age_s)
    return {job.id: "never" if job.next_run is None else f"in {said_age(job.next_run - now)}" for job in late}


def _now(guest: Guest) -> str:
    return f"./invoke backup.now --guest {guest.name}"
