"""Send a write once and follow it to its end; when its answer is lost, find out before anything is repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.errors import Unsafe
from harness.observed import ObservedGuest
from harness.pve import guests, read
from harness.pve.client import Writer
from harness.pve.errors import Conflict, Dropped, Locked
from harness.pve.upid import TaskEnd, Upid, wait_task
from harness.templates.bench import Bench
from harness.wait import wait_until

FIND_OUT_S = 60.0
LOOKS_BEFORE_IDLE = 4
TRIES = 4


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
    """Until the task has succeeded, or `is_done`; a request that came to nothing is sent a second time."""
    task = _send(bench, send, tried=tried, running=running, is_done=is_done, again=True)
    if task is not None:
        _told(bench, tried, wait_task(bench.writer, task, deadline_s=deadline_s, tried=tried, on=on))


def _send(
    bench: Bench,
    send: Callable[[], Upid],
    *,
    tried: str,
    running: Callable[[], list[Upid]],
    is_done: Callable[[], bool],
    again: bool,
) -> Upid | None:
    before = {task.text for task in running()}
    try:
        return send()
    except Dropped as lost:
        bench.say(f"{tried}: the answer was lost ({lost.happened}); looking what came of it")
        begun, task = _find_out(lambda: [one for one in running() if one.text not in before], is_done)
        if begun or not again:
            if not begun:
                raise
            return task
    return _send(bench, send, tried=tried, running=running, is_done=is_done, again=False)


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

    return wait_until(look, deadline_s=FIND_OUT_S, first_pause_s=0.3).value or (False, None)


def _told(bench: Bench, tried: str, ended: TaskEnd) -> None:
    for warning in ended.warnings:
        bench.say(f"{tried}: {warning}")


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
