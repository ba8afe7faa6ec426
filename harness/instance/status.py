"""Tell how the nested VM of a site is, from its processes, QEMU's monitor and the router's leases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.instance.monitor import read_state
from harness.instance.place import MONITOR, OVERLAY, place_of, serial_log_of
from harness.instance.record import Record, read_record
from harness.lab import Place, running
from harness.routers.dnsmasq import LEASES_FILE


@dataclass(frozen=True)
class Lease:
    """An address that the router has given to somebody of the site."""

    mac: str
    address: str
    name: str


@dataclass(frozen=True)
class Status:
    """`state` is QEMU's own word, or why there is none; `record` tells how it is reached."""

    site: str
    up: bool
    state: str
    record: Record | None
    pid: int | None
    overlay_bytes: int
    leases: tuple[Lease, ...]
    serial_log: Path

    def to_json(self) -> dict[str, Any]:
        """The same as JSON's own types."""
        return {
            **asdict(self),
            "leases": [asdict(lease) for lease in self.leases],
            "serial_log": str(self.serial_log),
        }


def status(site: str) -> Status:
    """What is there now; also while nothing is."""
    place = place_of(site)
    record = read_record(place.state)
    whole = record is not None and is_whole(place, record)
    return Status(
        site=site,
        up=whole,
        state=_state(place, record),
        record=record,
        pid=running(place.machines / record.hypervisor) if record else None,
        overlay_bytes=_allocated(place.state / OVERLAY),
        leases=tuple(_leases(place, record)) if record else (),
        serial_log=serial_log_of(site),
    )


def is_whole(place: Place, record: Record) -> bool:
    """Whether switch, router and QEMU run; what the system inside QEMU does is another question."""
    return all(running(place.machines / name) is not None for name in ("switch", record.router, record.hypervisor))


def _state(place: Place, record: Record | None) -> str:
    if record is None:
        return "half started" if place.state.exists() else "down"
    if not is_whole(place, record):
        return "broken: a part of it has ended"
    try:
        return read_state(place.state / MONITOR)
    except HarnessError as error:
        return f"unknown: {error.happened}"


def _allocated(file: Path) -> int:
    try:
        return file.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _leases(place: Place, record: Record) -> Iterator[Lease]:
    """dnsmasq's lines: expiry, MAC, address, name, client identifier."""
    pid = running(place.machines / record.router)
    file = Path(f"/proc/{pid}/root{LEASES_FILE}")
    try:
        text = file.read_text() if pid is not None else ""
    except (FileNotFoundError, ProcessLookupError):
        return  # nobody has asked for an address yet, or the router has just ended
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 4:
            yield Lease(fields[1].lower(), fields[2], fields[3])
