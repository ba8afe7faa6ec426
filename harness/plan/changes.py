"""What a plan says: changes it would make, differences it only reports, and reasons why it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CloneChoice:
    """How a guest would be cloned, and why so."""

    template: str
    template_vmid: int
    mode: Literal["linked", "full"]
    target: str  # the storage the disks will be on
    moves: bool  # the target is not the template's own storage, so the clone call must name it
    reason: str
    disk_bytes: int
    notes: str  # goes into the clone call

    def __str__(self) -> str:
        return f"{self.mode} clone of {self.template} ({self.template_vmid}): {self.reason}"


@dataclass(frozen=True)
class Change:
    """One VM that is made, or brought to its end; `clone` is None when its disks are already there."""

    guest: str
    vmid: int
    kind: Literal["create", "finish"]
    detail: str
    clone: CloneChoice | None


@dataclass(frozen=True)
class Difference:
    """An existing VM that is not as declared; reported, never changed by `provision`."""

    guest: str
    key: str
    expected: str
    seen: str

    def __str__(self) -> str:
        return f"{self.guest}: {self.key} should be {self.expected}, is {self.seen}"


@dataclass(frozen=True)
class Refusal:
    """Why nothing at all is done: going on would touch what is not ours, or end half way."""

    guest: str | None
    reason: str
    do: str


@dataclass(frozen=True)
class Plan:
    """What `provision` would do now; refused as a whole when there is a single refusal."""

    changes: tuple[Change, ...]
    differences: tuple[Difference, ...]
    refusals: tuple[Refusal, ...]
    warnings: tuple[str, ...]

    @property
    def empty(self) -> bool:
        return not self.changes and not self.refusals
