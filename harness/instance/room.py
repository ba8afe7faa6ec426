"""Refuse a nested VM that this machine has no memory or disk for, before anything is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.contract import NestedMachine
from harness.errors import Missing
from harness.nested.room import available_memory_mib

MIB, GIB = 2**20, 2**30
# QEMU's own memory beside the guest's, and the router's.
OVERHEAD_MIB = 384
# What an overlay takes at least before anybody has provisioned anything; it may grow up to the size of the disk.
FIRST_GIB = 4


@dataclass(frozen=True)
class Room:
    """What this machine has to give; `promised_mib` is what other nested VMs may still take of the available memory."""

    available_mib: int
    promised_mib: int
    free_bytes: int
    folder: Path
    processors: int


def look(folder: Path, promised_mib: int) -> Room:
    """What is there now; `folder` is where the overlay will be, or its nearest parent that exists."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return Room(
        available_mib=available_memory_mib(),
        promised_mib=promised_mib,
        free_bytes=shutil.disk_usage(there).free,
        folder=there,
        processors=len(os.sched_getaffinity(0)),
    )


def require(room: Room, machine: NestedMachine, *, site: str) -> None:
    """Raise Missing with everything that does not fit, at once."""
    lacks = list(_lacks(room, machine))
    if lacks:
        raise Missing(
            tried=f"start the nested VM of site {site}",
            on="this machine",
            happened="; ".join(lacks),
            do="Declare less in mgmt_nested.machine, make room here, or take others down:"
            " ./invoke nested.down --site NAME",
        )


def _lacks(room: Room, machine: NestedMachine) -> Iterator[str]:
    left = room.available_mib - room.promised_mib
    if left < machine.memory_mib + OVERHEAD_MIB:
        promised = f", {room.promised_mib} MiB of that promised to other nested VMs" if room.promised_mib else ""
        yield (
            f"it is to have {machine.memory_mib} MiB of memory and needs {OVERHEAD_MIB} MiB around that;"
            f" {room.available_mib} MiB are available{promised}"
        )
    needed_gib = min(FIRST_GIB, machine.disk_gib)
    if room.free_bytes < needed_gib * GIB:
        free = room.free_bytes / GIB
        yield f"its disk needs {needed_gib} GiB to begin with, and {room.folder} has {free:.1f} GiB free"


def warnings(room: Room, machine: NestedMachine) -> Iterator[str]:
    """What may go wrong later and is no reason to refuse."""
    if room.free_bytes < machine.disk_gib * GIB:
        yield (
            f"the disk may grow to {machine.disk_gib} GiB and {room.folder} has {room.free_bytes / GIB:.1f} GiB free;"
            " a nested VM whose disk is full is paused"
        )
    if room.processors < machine.cores:
        yield f"its {machine.cores} processors share the {room.processors} that are here"
