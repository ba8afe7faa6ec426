"""Have the guest's VM cloned exactly once, whatever became of the request or of an earlier run."""

from __future__ import annotations

from harness.engine.job import Job
from harness.errors import HarnessError, Refused, TaskFailed, TimedOut, Unsafe
from harness.observed import BegunClone, ObservedGuest
from harness.plan import CloneChoice
from harness.plan.diff import TEMPORARY
from harness.plan.marks import parse_provenance
from harness.pve import guests, read
from harness.pve.errors import Absent, Dropped
from harness.pve.upid import Upid, is_running, parse_upid, wait_task
from harness.wait import wait_until

# A disk copied slower than this has stalled; a linked clone copies nothing.
SLOWEST_COPY_BYTES_PER_S = 10 << 20
LEAST_DEADLINE_S = 120.0
# How long a lost clone request may take to show itself on the node: PVE's own wait for a lock, and the proxy's limit.
FIND_OUT_S = 45.0
LOOKS_BEFORE_ABSENT = 4
# How long a clone without a task may take to become whole or vanish: both happen at the very end of its task.
SETTLE_S = 3.0


def clone(job: Job) -> ObservedGuest:
    """The cloned VM as it was read back; an earlier run's clone is gone on with."""
    begun = job.shared.journal.begun().get(job.guest.vmid)
    choice = job.change.clone
    task = _attach(job, begun, choice) if begun is not None else None
    if task is None and not _is_there(job):
        task = _send(job, _needed(job, choice))
    if task is not None:
        _wait(job, task, choice)
    return _read_back(job)


def _send(job: Job, choice: CloneChoice) -> Upid | None:
    """The task of a new clone; None when the VM is there already without one."""
    if (stranger := job.looks.answers(job.guest)) is not None:
        raise Unsafe(
            tried="make the guest",
            on=job.on,
            happened=f"something already has its address: {stranger}; nothing was made",
            do="Find out what that is and remove it, or declare another address",
        )
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
    except HarnessError:
        job.remember("clone-failed")
        raise
    job.remember("clone-upid", template=choice.template_vmid, upid=task.text)
    return task


def _find_out(job: Job, choice: CloneChoice, lost: Dropped) -> Upid | None:
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

    waited = wait_until(look, deadline_s=FIND_OUT_S, first_pause_s=0.3)
    if waited.value is None:
        raise _dead_half(job, f"{lost.happened}; {waited.last_seen}") from lost
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
    if waited.value is None:
        raise _dead_half(job, waited.last_seen)
    return waited.value


def _dead_half(job: Job, seen: str) -> Unsafe:
    """Only root may lift the lock of a dead clone (`skiplock`), and deleting is not this command's to do."""
    return Unsafe(
        tried="go on with the clone of an earlier run",
        on=job.on,
        happened=f"it was left half made and no task works on it ({seen}); a token may not lift its lock",
        do=f"On the node, as root: `qm unlock {job.guest.vmid} && qm destroy {job.guest.vmid} --purge`, then run the "
        "same command again",
    )


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
    provenance = parse_provenance(vm.description)
    if vm.name != job.guest.name and provenance is None:
        raise Unsafe(
            tried="read the clone back",
            on=job.on,
            happened=f"the VM is named {vm.name!r} and carries no mark of ours",
            do="Somebody else works on this VMID: find out who, then run the same command again",
        )
    job.remember("cloned")
    return vm
