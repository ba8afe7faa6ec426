"""Remember what a nested VM was started from, and how it is reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from harness.instance.place import MEMORY, RECORD, ROOT
from harness.lab import Place, running


@dataclass(frozen=True)
class Record:
    """Written as the last step of `up`: a nested VM without it is half started."""

    site: str
    golden: str  # key of the golden disk
    accelerator: str
    memory_mib: int
    hypervisor: str
    router: str
    address: str
    url: str
    version: str  # of PVE, as its API told it
    fingerprint: str
    seconds: float  # from the start to the API's answer


def write_record(place: Place, record: Record) -> None:
    """In one step: there is a whole record or none."""
    unfinished = place.state / f"{RECORD}.new"
    unfinished.write_text(json.dumps(asdict(record), indent=1))
    unfinished.replace(place.state / RECORD)


def read_record(folder: Path) -> Record | None:
    """The record of what was brought up last there and not taken down; it may be dead."""
    try:
        kept: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except FileNotFoundError:
        return None
    return Record(**kept) if kept.keys() == {one.name for one in fields(Record)} else None


def promised_mib(but: str) -> int:
    """Memory that the other running nested VMs have been given and do not use yet."""
    return sum(max(0, given - _resident_mib(pid)) for given, pid in _others(but))


def _others(but: str) -> Iterator[tuple[int, int]]:
    """Memory in MiB and pid of each that runs; also of one that has no record yet."""
    for file in sorted(ROOT.glob(f"*/machines/*/{MEMORY}")):
        pid = running(file.parent)
        if pid is not None and file.relative_to(ROOT).parts[0] != but:
            yield int(file.read_text()), pid


def _resident_mib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended after we had found it
    return next((int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("VmRSS:")), 0)
