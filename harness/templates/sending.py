"""Send a write once and follow it to its end; when its answer is lost, find out before anything is repeated."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from harness.errors import TaskFailed, Unsafe
from harness.observed import ObservedGuest
from harness.pve import guests, read
from harness.pve.client import Writer
from harness.pve.errors import Conflict, Dropped, Locked
from harness.pve.upid import Upid, wait_task
from harness.templates.bench import Bench
from harness.wait import wait_until

FIND_OUT_S = 60.0
LOOKS_BEFORE_IDLE = 4
TRIES = 4
LOCK_PATIENCE_S = 60.0
_LOCKED = re.compile(r"got timeout|is locked")


def carry_out(
    bench: Bench,
    send: Callable[[], Upid],
    *,
    tried: str,
    on: str,
    running: Callable[[], list[Upid]],
    is_done: Callable[[], bool],
    deadline_s: float,
) -> None:
    """Until the task has succeeded, or `is_done`; a request that came to nothing is sent again."""
    for left in reversed(range(TRIES)):
        task = _patiently(bench, lambda: _send(bench, send, tried, running, is_done), tried)
        if task is None:
            return
        try:
            ended = wait_task(bench.writer, task, deadline_s=deadline_s, tried=tried, on=on)
        except TaskFailed as failure:
            if left == 0 or not _LOCKED.search(failure.exit_status_text):
                raise
            bench.say(f"{tried}: {failure.exit_status_text}; again")
            continue
        for warning in ended.warnings:
            bench.say(f"{tried}: {warning}")
        return


def _patiently(bench: Bench, send: Callable[[], Upid | None], tried: str) -> Upid | None:
    """Somebody else's work on the VM ends at some time; PVE did nothing of what it declined."""
    last: Locked | None = None

    def look() -> tuple[tuple[Upid | None] | None, str]:
        nonlocal last
        try:
            return (send(),), "sent"
        except Locked as lock:
            if last is None:
                bench.say(f"{tried}: {lock.happened}; waiting for it")
            last = lock
            return None, lock.happened

    waited = wait_until(look, deadline_s=LOCK_PATIENCE_S, first_pause_s=0.5, longest_pause_s=5.0)
    if waited.value is None:
        assert last is not None  # noqa: S101 - nothing else makes it wait
        raise last
    return waited.value[0]


def _send(
    bench: Bench,
    send: Callable[[], Upid],
    tried: str,
    running: Callable[[], list[Upid]],
    is_done: Callable[[], bool],
) -> Upid | None:
    """The task to wait for; None when its work is done already. Sent a second time only when nothing came of it."""
    before = {task.text for task in running()}
    try:
        return send()
    except Dropped as lost:
        bench.say(f"{tried}: the answer was lost ({lost.happened}); looking what came of it")
        begun, task = _find_out(lambda: [one for one in running() if one.text not in before], is_done)
        return task if begun else send()


def _find_out(running: Callable[[], list[Upid]], is_done: Callable[[], bool]) -> tuple[bool, Upid | None]:
    """(begun, its task if that still runs)."""
    idle = 0

    def look() -> tuple[tuple[bool, Upid | None] | None, str]:
        nonlocal idle
        if tasks := running():
            return (True, tasks[0]), "its task runs"
        if is_done():
            return (True, None), "it is done"
        idle += 1
        return ((False, None), "nothing was begun") if idle == LOOKS_BEFORE_IDLE else (None, "nothing yet")

    return wait_until(look, deadline_s=FIND_OUT_S, first_pause_s=0.5).value or (False, None)


def settle(
    writer: Writer, node: str, vmid: int, find: Callable[[ObservedGuest], dict[str, Any]], *, tried: str, on: str
) -> ObservedGuest:
    """Write what `find` wants changed and read it back, until it wants nothing; the truth is what is read."""
    left: dict[str, Any] = {}
    for attempt in range(TRIES + 1):
        vm = _read(writer, node, vmid, tried=tried, on=on)
        left = find(vm)
        if not left:
            return vm
        if attempt == TRIES:
            break
        try:
            guests.configure(writer, node, vmid, left, digest=vm.digest)
        except (Dropped, Locked, Conflict) as error:
            writer.note(f"{tried} on {on}: {error.happened}; reading back")
    raise Unsafe(
        tried=tried,
        on=on,
        happened=f"PVE keeps other values than it was given for {', '.join(sorted(left))}",
        do=f"Look at `qm config {vmid}` on the node, and who else works there",
    )


def _read(writer: Writer, node: str, vmid: int, *, tried: str, on: str) -> ObservedGuest:
    vm = read.read_guest(writer, node, vmid)
    if vm is None:
        do = "Somebody removed it meanwhile; run the same command again"
        raise Unsafe(tried=tried, on=on, happened="the VM is gone", do=do)
    return vm
