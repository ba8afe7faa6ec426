"""Have the guest's VM cloned exactly once, whatever became of the request or of an earlier run."""

from __future__ import annotations

from harness.engine.half_clones import mend
from harness.engine.job import Job
from harness.errors import HarnessError, Invalid, Refused, TaskFailed, TimedOut, Unsafe
from harness.observed import BegunClone, ObservedGuest
from harness.plan import CloneChoice
from harness.plan.diff import TEMPORARY
from harness.plan.marks import has_mark, parse_provenance
from harness.pve import guests, read
from harness.pve.errors import Absent, Dropped, Locked, Rejected, Undelivered, is_lock
from harness.pve.upid import UNEXPECTED, Upid, is_running, parse_upid, wait_task
from harness.wait import wait_until

# A disk copied slower than this has stalled; a linked clone copies nothing.
SLOWEST_COPY_BYTES_PER_S = 10 << 20
LEAST_DEADLINE_S = 120.0
# How long a lost clone request may take to show itself on the node: PVE's own wait for a lock, and the proxy's limit.
FIND_OUT_S = 45.0
LOOKS_BEFORE_ABSENT = 4
# How long a template that somebody else has locked (a backup, another clone) is waited for.
LOCK_PATIENCE_S = 60.0
CLONES = 3
# Errors that say that nothing was begun; after any other the clone may be there.
NOT_BEGUN = (Rejected, Refused, Invalid, Locked, Absent, Undelivered)
# Whoever has an address answers at once; that nobody does is believed later, before the start.
EARLY_S = 0.3
# How long a clone without a task may take to become whole or vanish: both happen at the very end of its task.
SETTLE_S = 3.0


def clone(job: Job) -> ObservedGuest:
    """The cloned VM as it was read back; an earlier run's clone is gone on with."""
    begun = job.shared.journal.begun().get(job.guest.vmid)
    choice = job.change.clone
    task = _attach(job, begun, choice) if begun is not None else None
    # The plan has just seen that nothing is there, and PVE makes no second VM of the same number.
    is_new = job.change.kind == "create" and begun is None
    for left in reversed(range(CLONES)):
        if task is None and (is_new or not _is_there(job)):
            task = _send(job, _needed(job, choice))
        is_new = False
        if task is None or _made(job, task, choice, may_fail=left > 0):
            break
        task = None
    return _read_back(job)


def _made(job: Job, task: Upid, choice: CloneChoice | None, *, may_fail: bool) -> bool:
    """Whether the task made the clone; False when it failed of something that passes, and nothing is left of it."""
    try:
        _wait(job, task, choice)
    except TaskFailed as failure:
        passes = is_lock(failure.exit_status_text) or failure.exit_status_text == UNEXPECTED
        if not (may_fail and passes and choice is not None):
            raise
        job.retried("clone", f"its task ended with {failure.exit_status_text!r}; looking what is left of it")
        return False
    return True


def _send(job: Job, choice: CloneChoice) -> Upid | None:
    """The task of a new clone; None when the VM is there already without one."""
    last: Locked | None = None

    def look() -> tuple[tuple[Upid | None] | None, str]:
        nonlocal last
        try:
            return (_send_once(job, choice),), "sent"
        except Locked as lock:
            last = lock
            job.retried("clone", f"{lock.happened}; waiting for it")
            return None, lock.happened

    waited = wait_until(look, deadline_s=LOCK_PATIENCE_S, first_pause_s=0.5, longest_pause_s=5.0)
    if waited.value is None:
        assert last is not None  # noqa: S101 - nothing else makes it wait
        raise last
    return waited.value[0]


def _send_once(job: Job, choice: CloneChoice) -> Upid | None:
    job.require_no_stranger("nothing was made", within_s=EARLY_S)
    job.check()
    job.remember("clone", template=choice.template_vmid, mode=choice.mode)
    try:
        task = guests.clone(
            job.writer,
            job.node,
            choice.template_vmid,
            vmid=job.guest.vmid,
            name=job.guest.name,
            notes=choice.notes,
            pool=job.shared.contract.hypervisor.pool,
            full=choice.mode == "full",
            storage=choice.target if choice.moves else None,
        )
    except Dropped as lost:
        job.retried("clone", f"the answer to the clone request was lost ({lost.happened}); looking what came of it")
        return _find_out(job, choice, lost)
    except Rejected as refusal:
        # PVE makes no second VM of the same number: ours, whose request was taken for lost, or somebody else's.
        if "already exists" not in refusal.words:
            job.remember("clone-failed")
            raise
        job.retried("clone", f"{refusal.happened}; looking whose it is")
        return _find_out(job, choice, refusal)
    except NOT_BEGUN:
        job.remember("clone-failed")
        raise
    job.remember("clone-upid", template=choice.template_vmid, upid=task.text)
    return task


def _find_out(job: Job, choice: CloneChoice, lost: HarnessError) -> Upid | None:
    """What became of a clone request whose answer was lost: a running task, a finished VM, or nothing at all."""
    absent = 0

    def look() -> tuple[tuple[str, Upid | None] | None, str]:
        nonlocal absent
        job.check()
        clones = guests.running_clones(job.writer, job.node, choice.template_vmid)
        if task := _ours(job, clones):
            return ("running", task), "its task runs"
        if _is_there(job):
            return ("made", None), "the VM is there"
        # A clone that still waits for a lock has not said yet which VM it makes: it may be ours.
        unsure = any(not running.makes_something_known for running in clones)
        absent = 0 if unsure or read.vmid_is_taken(job.writer, job.guest.vmid) else absent + 1
        if absent == LOOKS_BEFORE_ABSENT:
            return ("absent", None), "nothing was begun"
        return None, "the VMID is in use, but neither its task nor its VM can be seen" if absent == 0 else "nothing yet"

    waited = wait_until(look, deadline_s=FIND_OUT_S, first_pause_s=0.5)
    if waited.value is None:
        raise TimedOut(
            tried="find out what became of the clone request",
            on=job.on,
            happened=f"{lost.happened}; {waited.last_seen}",
            do="Look at the node's task list, then run the same command again: it looks first at what is there",
        ) from lost
    what, task = waited.value
    job.note("clone", f"found out: {waited.last_seen}")
    if what == "absent":
        # PVE itself refuses a second clone into a VMID in use, so this cannot make two.
        return _send(job, choice)
    if task is not None:
        job.remember("clone-upid", template=choice.template_vmid, upid=task.text)
    return task


def _ours(job: Job, clones: list[guests.RunningClone]) -> Upid | None:
    return next((running.upid for running in clones if running.makes(job.guest.vmid)), None)


def _attach(job: Job, begun: BegunClone, choice: CloneChoice | None) -> Upid | None:
    """The task of an earlier run's clone, when it is still running."""
    if begun.upid is None:
        return _ours(job, guests.running_clones(job.writer, job.node, choice.template_vmid)) if choice else None
    upid = parse_upid(begun.upid)
    try:
        running = is_running(job.writer, upid)
    except Absent:  # the node forgets old tasks
        return None
    if running:
        job.note("clone", f"an earlier run's clone is still being made ({upid})")
    return upid if running else None


def _wait(job: Job, task: Upid, choice: CloneChoice | None) -> None:
    copied = choice.disk_bytes if choice is not None and choice.mode == "full" else 0
    deadline_s = max(LEAST_DEADLINE_S, copied / SLOWEST_COPY_BYTES_PER_S)
    try:
        job.ended(
            "clone", wait_task(job.writer, task, deadline_s=deadline_s, tried="clone", on=job.on, check=job.check)
        )
    except TaskFailed:
        # A handled failure takes the half-made VM away; what a killed worker leaves behind stays begun in the journal.
        if not read.vmid_is_taken(job.writer, job.guest.vmid):
            job.remember("clone-failed")
        raise


def _is_there(job: Job) -> bool:
    """Whether the VMID holds a whole clone of ours; a dead half of one is an error with the way out."""
    try:
        vm = job.read()
    except Refused:
        # A pool's token is refused for whatever is not in the pool: nothing at all, a clone in flight, or a stranger.
        if not read.vmid_is_taken(job.writer, job.guest.vmid):
            return False
        if job.shared.journal.begun().get(job.guest.vmid) is None:
            raise
        return _settled(job)
    if vm is None:
        return False
    return _is_whole(vm) or _settled(job)


def _is_whole(vm: ObservedGuest) -> bool:
    return vm.lock != "clone" and TEMPORARY not in vm.description


def _settled(job: Job) -> bool:
    """A clone that is not whole and has no task may be ending just now: look again before calling it dead."""

    def look() -> tuple[bool | None, str]:
        job.check()
        if job.change.clone is not None:
            clones = guests.running_clones(job.writer, job.node, job.change.clone.template_vmid)
            if task := _ours(job, clones):
                _wait(job, task, job.change.clone)
        if not read.vmid_is_taken(job.writer, job.guest.vmid):
            return False, "gone"
        try:
            vm = job.read()
        except Refused as error:
            return None, error.happened
        if vm is None:
            return False, "gone"
        return (True, "whole") if _is_whole(vm) else (None, f"locked ({vm.lock})")

    waited = wait_until(look, deadline_s=SETTLE_S, first_pause_s=0.3)
    return mend(job, waited.last_seen) if waited.value is None else waited.value


def _needed(job: Job, choice: CloneChoice | None) -> CloneChoice:
    if choice is None:
        raise Unsafe(
            tried="go on with the guest",
            on=job.on,
            happened="it was there when the plan was made and is gone now",
            do="Run the same command again",
        )
    return choice


def _read_back(job: Job) -> ObservedGuest:
    """The whole clone. Pool membership and the last lines of the configuration come at the very end of the task."""
    vm = job.read()
    if vm is None or vm.lock is not None:
        raise TimedOut(
            tried="read the clone back",
            on=job.on,
            happened="its task succeeded, but "
            + ("the VM is not there" if vm is None else f"it is locked ({vm.lock})"),
            do="Run the same command again",
        )
    if not _is_ours(job, vm):
        job.remember("clone-failed")
        raise Unsafe(
            tried="read the clone back",
            on=job.on,
            happened=f"the VM is named {vm.name!r} and carries no mark of ours",
            do="Somebody else works on this VMID: find out who, then run the same command again",
        )
    job.remember("cloned")
    return vm


def _is_ours(job: Job, vm: ObservedGuest) -> bool:
    """The clone call itself writes the provenance; a guest that was complete once may have lost it, but has our tag."""
    provenance = parse_provenance(vm.description)
    if provenance is None:
        return has_mark(vm) and vm.name == job.guest.name
    return (provenance.site, provenance.guest) == (job.shared.contract.site, job.guest.name)
