"""Let the installer run in QEMU until it has switched the machine off, and know early and by name when it will not."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contract import NestedMachine
from harness.errors import HarnessError, Invalid, TimedOut
from harness.nested import qemu
from harness.nested.accelerator import Accelerator
from harness.nested.milestones import PATIENCE_S, POWER_ON, Course, Failure, follow, stands_still
from harness.nested.programs import ending_with_us
from harness.nested.qmp import Qmp
from harness.nested.serial import SerialLog
from harness.nested.spec import Progress
from harness.wait import wait_until

TRIED = "install the nested hypervisor"
LONGEST_S = 3600.0
LOOK_S = 0.25

# Only this address is there for the installer; QEMU's own DHCP server gives it one of its network.
HOOK_ADDRESS = "10.0.2.100"
HOOK_URL = f"http://{HOOK_ADDRESS}/installed"


@dataclass(frozen=True)
class Bench:
    """Where an installation takes place, all in one folder."""

    folder: Path
    disk: Path
    serial: Path
    installed: Path
    medium: Path
    efivars: Path | None


@dataclass
class _Watch:
    """What has been seen of a running installation."""

    log: SerialLog
    qmp: Qmp
    course: Course
    limits: Mapping[str, float]
    stopped: dict[str, Any] | None = None
    shutdown: dict[str, Any] | None = None
    told: set[str] = field(default_factory=set)


def install(
    machine: NestedMachine,
    accelerator: Accelerator,
    bench: Bench,
    progress: Progress,
    *,
    limits: Mapping[str, float] = PATIENCE_S,
) -> None:
    """An installed disk; QEMU is gone afterwards in every case. `limits` are as in milestones.PATIENCE_S."""
    with _machine(machine, accelerator, bench) as (process, qmp):
        course = Course(since=time.monotonic(), patience_s=limits[POWER_ON])
        watch = _Watch(SerialLog(bench.serial), qmp, course, limits)
        ended = wait_until(
            lambda: _look(process, watch, accelerator, progress),
            deadline_s=LONGEST_S * accelerator.patience,
            first_pause_s=LOOK_S,
            longest_pause_s=LOOK_S,
        )
    _judge(watch, accelerator, bench, ended.value is None)


@contextmanager
def _machine(
    machine: NestedMachine, accelerator: Accelerator, bench: Bench
) -> Iterator[tuple[subprocess.Popen[bytes], Qmp]]:
    hook = shlex.join([sys.executable, "-I", str(Path(__file__).with_name("receive.py")), str(bench.installed)])
    netdev = f"user,restrict=on,guestfwd=tcp:{HOOK_ADDRESS}:80-cmd:{hook.replace(',', ',,')}"
    command = qemu.argv(
        machine,
        accelerator,
        disk=bench.disk,
        serial=bench.serial,
        netdev=netdev,
        efivars=bench.efivars,
        medium=bench.medium,
    )
    command += ["-no-reboot", "-chardev", "stdio,id=monitor,signal=off", "-mon", "chardev=monitor,mode=control"]
    with (bench.folder / "qemu.log").open("wb") as errors:
        # A session of its own: Ctrl-C is for us, and we end it.
        process = subprocess.Popen(
            ending_with_us(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        qmp = Qmp(process.stdout.fileno(), process.stdin.fileno())
        _greet(qmp, process, bench)
        yield process, qmp
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _greet(qmp: Qmp, process: subprocess.Popen[bytes], bench: Bench) -> None:
    try:
        qmp.greet()
    except HarnessError as error:
        if not qmp.ended:
            raise
        process.wait()
        said = (bench.folder / "qemu.log").read_text(errors="replace").strip().splitlines()
        raise HarnessError(
            tried="start the virtual machine",
            on="this machine",
            happened=f"QEMU said: {' | '.join(said[-3:]) or 'nothing'}",
            do="Mend what it names",
        ) from error


def _look(
    process: subprocess.Popen[bytes], watch: _Watch, accelerator: Accelerator, progress: Progress
) -> tuple[str | None, str]:
    """(why to look no more or None, what was seen)."""
    has_ended = process.poll() is not None
    now = time.monotonic()
    before = watch.course
    watch.course = follow(before, watch.log.read(), now=now, limits=watch.limits)
    _tell(before, watch, progress)
    for event in watch.qmp.events():
        if event["event"] == "BLOCK_IO_ERROR":
            watch.stopped = event["data"]
        elif event["event"] == "SHUTDOWN":
            watch.shutdown = event["data"]
    seen = watch.course.milestone
    if watch.course.failure is not None or watch.stopped is not None or has_ended:
        return "ended", seen
    if stands_still(watch.course, now=now, patience=accelerator.patience):
        return "stalled", seen
    return None, seen


def _tell(before: Course, watch: _Watch, progress: Progress) -> None:
    course = watch.course
    if course.share != before.share:
        progress.share("installation", course.share)
    elif course.milestone != before.milestone and course.milestone not in watch.told:
        watch.told.add(course.milestone)
        progress.say(f"  {course.milestone}")


def _judge(watch: _Watch, accelerator: Accelerator, bench: Bench, too_long: bool) -> None:
    """Nothing when it is installed; else the error that names why it is not."""
    course, log = watch.course, f"Its serial log: {bench.serial}"
    if watch.stopped is not None:
        raise _disk_error(watch.stopped, bench)
    if course.failure is not None:
        raise _failed(course.failure, course, log)
    by_guest = watch.shutdown is not None and watch.shutdown.get("reason") == "guest-shutdown"
    if course.done and by_guest:
        return
    if watch.shutdown is None and not watch.qmp.ended:
        seconds = LONGEST_S if too_long else course.patience_s
        raise TimedOut(
            tried=TRIED,
            on="the virtual machine",
            happened=f"the installer stands still: nothing new for {seconds * accelerator.patience:.0f} s after "
            f"{course.milestone!r}{_last_words(course)}",
            do=log,
        )
    why = watch.shutdown.get("reason") if watch.shutdown else "QEMU was ended from outside"
    raise HarnessError(
        tried=TRIED,
        on="the virtual machine",
        happened=f"the machine ended ({why}) before the installer was done, after {course.milestone!r}"
        f"{_last_words(course)}",
        do=log,
    )


def _failed(failure: Failure, course: Course, log: str) -> HarnessError:
    if failure.kind == "died":
        happened = f"{failure}; the last thing the installer said was {course.milestone!r}"
        return HarnessError(tried=TRIED, on="the virtual machine", happened=happened, do=log)
    happened = f"the installer gave up after {course.milestone!r}: {failure}"
    return Invalid(tried=TRIED, on="the virtual machine", happened=happened, do=log)


def _disk_error(event: dict[str, Any], bench: Bench) -> HarnessError:
    if event.get("nospace"):
        return HarnessError(
            tried=TRIED, on=str(bench.disk.parent), happened="the disk of this machine is full", do="Free space there"
        )
    happened = f"writing the virtual disk failed: {event.get('reason')}"
    return HarnessError(tried=TRIED, on=str(bench.disk), happened=happened, do="Look at the disk of this machine")


def _last_words(course: Course) -> str:
    return f" ({' | '.join(course.recent)})" if course.recent else ""
