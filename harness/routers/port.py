"""What every kind of core router can be asked and told: one port, whatever product serves the site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from harness.contract import Record, Reservation
from harness.errors import HarnessError
from harness.routers.observed import ObservedRouter

# Opaque: enough for the adapter that made it to put back exactly what was there.
Snapshot = Any
# A note on the error of a write, by the adapter that put the state before back and activated it.
BACK = "The state before is back on"


@dataclass(frozen=True)
class Changes:
    """What apply will do; the values to remove are exactly as observed."""

    remove_reservations: tuple[Reservation, ...]
    add_reservations: tuple[Reservation, ...]
    remove_records: tuple[Record, ...]
    add_records: tuple[Record, ...]


class CoreRouter(Protocol):
    """A router that is open: it can be read, changed and put back."""

    def observe(self) -> ObservedRouter:
        """Reservations (duplicates stay visible), leases and records; an alias kept as A data is a CNAME here."""
        ...

    def snapshot(self) -> Snapshot:
        """Enough to put back exactly what is there now."""
        ...

    def write(self, changes: Changes) -> None:
        """All of it, then one activation; raises HarnessError, with the state before restored if it can."""
        ...

    def restore(self, before: Snapshot) -> None:
        """What the snapshot holds is what the router serves again."""
        ...


def is_back(error: HarnessError) -> bool:
    """Whether a write that failed has already put the state before back."""
    return any(note.startswith(BACK) for note in getattr(error, "__notes__", ()))
