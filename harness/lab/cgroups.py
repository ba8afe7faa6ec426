"""Keep every process of the lab in one control group, so that none can be missed or left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from harness.errors import Missing, TimedOut
from harness.lab.paths import GROUP
from harness.wait import wait_until

REAPED_S = 2.0


def mount_point() -> Path | None:
    """Where this machine has its cgroup2 tree: not everywhere at /sys/fs/cgroup."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    return None


def lab_group() -> Path:
    """The lab's control group; it need not exist."""
    return group_named(GROUP)


def group_named(name: str) -> Path:
    """A control group of this machine; it need not exist."""
    mounted = mount_point()
    if mounted is None:
        raise Missing(
            tried="find the control groups",
            on="this machine",
            happened="no cgroup2 file system is mounted",
            do="Mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
        )
    return mounted / name


def make_group(name: str, within: str = GROUP) -> Path:
    """A control group of that name below the lab's, or below another one of this machine."""
    group = group_named(within) / name
    group.mkdir(parents=True, exist_ok=True)
    return group


def processes(group: Path | None = None) -> Iterator[int]:
    """The pids of everything in a control group and below it: of everything the lab runs, guests included."""
    for folder, _, _ in os.walk(group or lab_group()):
        try:
            listed = Path(folder, "cgroup.procs").read_text().split()
        except OSError:  # the group went away while we looked
            continue
        yield from (int(line) for line in listed if line != "0")


def end_all() -> None:
    """Kill every process of the lab and remove its control groups."""
    end(lab_group())


def end(group: Path) -> None:
    """Kill every process of a control group and of those below it, and remove them; one that is not there is no error.

    Raises TimedOut when they do not end.
    """
    if not group.exists():
        return
    ended = set(processes(group))
    (group / "cgroup.kill").write_text("1")
    waited = wait_until(lambda: _removed(group), deadline_s=10, first_pause_s=0.01, longest_pause_s=0.1)
    if waited.value is None:
        raise TimedOut(
            tried=f"end the processes of {group.name}",
            on="this machine",
            happened=f"after {waited.seconds:.0f} s {waited.last_seen}",
            do=f"Look at them: cat {group}/cgroup.procs",
        )
    # A killed process is out of its group before its parent has taken note of it. One that never does is not ours.
    wait_until(lambda: _reaped(ended), deadline_s=REAPED_S, first_pause_s=0.005, longest_pause_s=0.05)


def _reaped(pids: set[int]) -> tuple[bool | None, str]:
    left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    return (None if left else True), f"{len(left)} left"


def _removed(group: Path) -> tuple[bool | None, str]:
    if "populated 1" in (group / "cgroup.events").read_text():
        return None, "processes are still there"
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError as error:  # the last process has been counted out, but not yet taken out
            return None, f"{folder} cannot be removed: {error.strerror}"
    return True, "all gone"
