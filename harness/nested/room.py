"""Look before a start whether this machine has the memory, the processors and the disk for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.contract import NestedMachine
from harness.errors import Missing
from harness.nested.spec import Progress

MEMINFO = Path("/proc/meminfo")


def require_memory(machine: NestedMachine, *, tried: str, meminfo: Path = MEMINFO) -> None:
    """Refuse what would have to be swapped out: then an installer stands still for no visible reason."""
    available = available_memory_mib(meminfo)
    if machine.memory_mib > available:
        raise Missing(
            tried=tried,
            on="this machine",
            happened=f"the virtual machine takes {machine.memory_mib} MiB of memory, and {available} MiB are available",
            do="End something else, or lower mgmt_nested.machine.memory_mib",
        )


def warn_of_processors(machine: NestedMachine, progress: Progress) -> None:
    """More virtual processors than there are only cost time."""
    here = len(os.sched_getaffinity(0))
    if machine.cores > here:
        progress.say(f"note: {machine.cores} virtual processors share {here} here")


def require_disk(folder: Path, needs: Mapping[str, int], *, tried: str) -> None:
    """`needs` are bytes by what they are for."""
    free, needed = shutil.disk_usage(folder).free, sum(needs.values())
    if needed > free:
        listed = ", ".join(f"{size >> 20} MiB for {what}" for what, size in needs.items())
        raise Missing(
            tried=tried,
            on=str(folder),
            happened=f"{free >> 20} MiB are free, {needed >> 20} MiB are needed: {listed}",
            do="Free space there",
        )


def available_memory_mib(meminfo: Path = MEMINFO) -> int:
    """What can be given away without swapping, as the kernel estimates it."""
    line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) // 1024
