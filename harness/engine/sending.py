"""Have one of PVE's tasks done exactly once, whatever became of the request's answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.engine.events import Step
from harness.engine.job import Job
from harness.pve import guests
from harness.pve.errors import Dropped
from harness.pve.upid import LATE, LATE_ALONE, TaskEnd, Upid, wait_task
from harness.wait import wait_until

FIND_OUT_S = 45.0
LOOKS_BEFORE_ABSENT = 4


def do_task(
    job: Job,
    step: Step,
    send: Callable[[], Upid],
    *,
    kind: str,
    vmid: int | None,
    deadline_s: float,
    beside: Sequence[Job] = (),
) -> TaskEnd:
    """The task's good end. Its UPID is in the journal before it is waited for, also of those it does `beside`."""
    job.check()
    earlier = {upid.text for upid in guests.known_tasks(job.writer, job.node, kind, vmid)}
    upid = _sent(job, step, send, lambda: _new_task(job, kind, vmid, earlier))
    for one in (job, *beside):
        one.remember(f"{step}-upid", upid=upid.text)
    late = LATE_ALONE if beside else LATE
    ended = wait_task(job.writer, upid, deadline_s=deadline_s, tried=step, on=job.on, check=job.check, late=late)
    job.ended(step, ended)
    return ended


def _sent(job: Job, step: Step, send: Callable[[], Upid], find: Callable[[], Upid | None]) -> Upid:
    try:
        return send()
    except Dropped as lost:
        job.retried(step, f"the answer to the request was lost ({lost.happened}); looking what came of it")
        if (upid := _found(job, find)) is not None:
            return upid
    # Its task would be in the list: the request never arrived, and may be sent again.
    job.retried(step, "nothing was begun; sent again")
    try:
        return send()
    except Dropped:
        if (upid := _found(job, find)) is not None:
            return upid
        raise


def _found(job: Job, find: Callable[[], Upid | None]) -> Upid | None:
    looks = 0

    def look() -> tuple[tuple[Upid | None] | None, str]:
        nonlocal looks
        job.check()
        if (upid := find()) is not None:
            return (upid,), f"its task is {upid}"
        looks += 1
        return ((None,) if looks == LOOKS_BEFORE_ABSENT else None), "no task"

    waited = wait_until(look, deadline_s=FIND_OUT_S, first_pause_s=0.5)
    return waited.value[0] if waited.value is not None else None


def _new_task(job: Job, kind: str, vmid: int | None, earlier: set[str]) -> Upid | None:
    """A task that was not there before and is this credential's own."""
    mine = (upid for upid in guests.known_tasks(job.writer, job.node, kind, vmid) if upid.text not in earlier)
    return next((upid for upid in mine if upid.user == job.writer.who), None)
