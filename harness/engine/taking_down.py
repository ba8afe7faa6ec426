"""Take a guest's VM down to be replaced or removed, and put it back as it was when that is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness.engine.configuring import settle_changes
from harness.engine.job import Job
from harness.engine.quiet import KINDS, still_there
from harness.engine.sending import do_task
from harness.engine.starting import start
from harness.errors import HarnessError, TaskFailed, Unsafe
from harness.observed import ObservedGuest
from harness.pve import guests, read

# What the tasks say when they declined before they touched anything.
_REFUSED = re.compile(r"VM is locked|got timeout|vm is running|is running - destroy failed|protection mode enabled")
STOP_DEADLINE_S = 90.0
DELETE_DEADLINE_S = 600.0


@contextmanager
def taken_down(job: Job, vm: ObservedGuest) -> Iterator[None]:
    """Unprotected and stopped. What fails inside before anything was lost ends with the VM as it was."""
    try:
        with job.step("protect", "protection off, only for this"):
            settle_changes(job, vm, lambda _, seen: {"protection": False} if seen.protection else {})
        with job.step("stop", "stop"):
            stop(job)
        yield
    except (HarnessError, KeyboardInterrupt) as error:
        _put_back(job, vm, error)
        raise


def stop(job: Job) -> None:
    if still_there(job, to="stop the guest").status == "stopped":
        return
    job.remember("stop")
    do_task(
        job,
        "stop",
        lambda: guests.stop(job.writer, job.node, job.guest.vmid),
        kind="qmstop",
        vmid=job.guest.vmid,
        deadline_s=STOP_DEADLINE_S,
    )


def delete(job: Job, *, purge: bool) -> None:
    """The VM and its disks; returns once its number is free."""
    with job.step("delete", "delete it and its disks"):
        job.remember("delete", purge=int(purge))
        vmid = job.guest.vmid
        do_task(
            job,
            "delete",
            lambda: guests.destroy(job.writer, job.node, vmid, purge=purge),
            kind="qmdestroy",
            vmid=vmid,
            deadline_s=DELETE_DEADLINE_S,
        )
        if read.vmid_is_taken(job.writer, vmid):
            raise Unsafe(
                tried="delete the VM",
                on=job.on,
                happened="its task succeeded, and its number is still in use",
                do="Find out what is there now, then run the same command again",
            )


def _intact(job: Job, before: ObservedGuest, error: BaseException) -> ObservedGuest | None:
    """The VM, when it is certain that nothing of it was lost."""
    busy = any(upid.type in KINDS for upid in guests.running_on(job.writer, job.node, job.guest.vmid))
    begun = job.shared.journal.lines(job.guest.name)[-1]["step"] in {"delete-upid", "restore-upid"}
    declined = isinstance(error, TaskFailed) and _REFUSED.search(str(error))
    if busy or (begun and not declined) or not read.vmid_is_taken(job.writer, job.guest.vmid):
        return None
    vm = job.read()
    return vm if vm is not None and vm.disks == before.disks and vm.lock in (None, "backup") else None


def _put_back(job: Job, before: ObservedGuest, error: BaseException) -> None:
    """Only a VM that is whole: after a failed delete or restore nobody knows that of its disks."""
    try:
        vm = _intact(job, before, error)
        if vm is None:
            return
        job.note("protect", "stopped short: the VM is put back as it was")
        vm = settle_changes(job, vm, lambda _, seen: {} if seen.protection else {"protection": True})
        if before.status == "running":
            start(job, vm)
        job.remember("put-back")
    except HarnessError as another:
        raise HarnessError(
            tried="put the VM back as it was",
            on=job.on,
            happened=f"{another} This followed on: {error or type(error).__name__}",
            do="Run the same command again: it looks first at what is there",
        ) from another
