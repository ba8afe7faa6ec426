"""Start the VM once, and know that it runs."""

from __future__ import annotations

from harness.engine.job import Job
from harness.errors import TaskFailed, Unsafe
from harness.observed import ObservedGuest
from harness.pve import guests
from harness.pve.errors import Dropped, Locked, is_lock
from harness.pve.upid import UNEXPECTED, Upid, wait_task
from harness.wait import wait_until

START_DEADLINE_S = 90.0
LOOKS_BEFORE_IDLE = 4
# A lock that does not pass in this many tries (PVE itself waits ten seconds for it each time) is somebody's to look at.
STARTS = 4


def require_free(job: Job, vm: ObservedGuest) -> None:
    """Before a start on the network: whoever has the address would be cut off. The guest itself may be there already,
    when it was started meanwhile."""
    if vm.status == "running":
        return
    try:
        job.require_no_stranger("it was not started")
    except Unsafe:
        if not _runs(job):
            raise


def start(job: Job, vm: ObservedGuest) -> None:
    if vm.status == "running":
        job.note("start", "it runs already")
        return
    job.check()
    for left in reversed(range(STARTS)):
        job.remember("start")
        try:
            task = _send(job, again=True)
        except Locked as lock:
            if left == 0:
                raise
            job.retried("start", lock.happened)
            continue
        if task is None or _started(job, task, may_fail=left > 0):
            return


def _started(job: Job, task: Upid, *, may_fail: bool) -> bool:
    """False when the start failed of something that passes: a lock, or a worker that was killed."""
    try:
        job.ended(
            "start", wait_task(job.writer, task, deadline_s=START_DEADLINE_S, tried="start", on=job.on, check=job.check)
        )
    except TaskFailed as failure:
        # Somebody else (or the request whose answer was lost) may have started it first.
        if _runs(job):
            return True
        if not may_fail or not (is_lock(failure.exit_status_text) or failure.exit_status_text == UNEXPECTED):
            raise
        job.retried("start", f"its task ended with {failure.exit_status_text!r}; it does not run, starting it again")
        return False
    return True


def _send(job: Job, *, again: bool) -> Upid | None:
    try:
        return guests.start(job.writer, job.node, job.guest.vmid)
    except Dropped as lost:
        job.retried("start", f"the answer to the start request was lost ({lost.happened}); looking what came of it")
        found, task = _find_out(job)
        if found:
            return task
        if not again:
            raise
        return _send(job, again=False)


def _find_out(job: Job) -> tuple[bool, Upid | None]:
    """(begun, its task if that still runs)."""
    idle = 0

    def look() -> tuple[tuple[bool, Upid | None] | None, str]:
        nonlocal idle
        job.check()
        if task := guests.running_start(job.writer, job.node, job.guest.vmid):
            return (True, task), "its task runs"
        if _runs(job):
            return (True, None), "it runs"
        idle += 1
        return ((False, None), "nothing was begun") if idle == LOOKS_BEFORE_IDLE else (None, "nothing yet")

    waited = wait_until(look, deadline_s=START_DEADLINE_S, first_pause_s=0.5)
    job.note("start", f"found out: {waited.last_seen}")
    return waited.value or (False, None)


def _runs(job: Job) -> bool:
    vm = job.read()
    if vm is None:
        raise Unsafe(
            tried="start the guest",
            on=job.on,
            happened="the VM is gone",
            do="Somebody removed it meanwhile; run the same command again",
        )
    return vm.status == "running"
