"""What a router holds: reservations, leases and records, whatever product it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.contract import Record, Reservation


class Answer(Protocol):
    """What a command on the router ended with."""

    @property
    def rc(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


Run = Callable[[str], Answer]


class Shell(Protocol):
    """A Run that can also be given something to read."""

    def __call__(self, command: str, *, stdin: str | None = None) -> Answer: ...


@dataclass(frozen=True)
class Lease:
    """An address the router gave away; `expires_at` is seconds since the epoch, None for a lease without end."""

    mac: str
    address: str
    name: str | None
    expires_at: int | None
    client_id: str | None = None  # how the client called itself, where the router tells


@dataclass(frozen=True)
class ObservedRouter:
    """What the router's running service was configured with; `sources` are the files or questions."""

    reservations: tuple[Reservation, ...]
    leases: tuple[Lease, ...]
    records: tuple[Record, ...]
    sources: tuple[str, ...]
