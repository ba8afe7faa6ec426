"""What a run tells while it works, and what it has to show at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from harness.errors import HarnessError
from harness.plan import Plan

Step = Literal[
    "check",
    "protect",
    "stop",
    "delete",
    "backup",
    "restore",
    "clone",
    "configure",
    "start",
    "reach",
    "identity",
    "finish",
    "compare",
]


@dataclass(frozen=True)
class Event:
    """One line of live progress; `guest` is None for what concerns the whole run."""

    guest: str | None
    step: Step | None
    state: Literal["begin", "wait", "done", "failed", "note"]
    text: str
    seconds: float  # since the run began


Report = Callable[[Event], None]


@dataclass
class GuestResult:
    """What became of one guest."""

    guest: str
    vmid: int
    outcome: Literal["created", "finished", "rebuilt", "restored", "destroyed", "saved", "failed"] = "failed"
    mode: str | None = None  # linked or full, and why
    seconds: dict[Step, float] = field(default_factory=dict)
    upids: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    identity_by: Literal["agent", "ssh"] | None = None
    machine_id: str | None = None
    host_keys: tuple[str, ...] = ()
    seen: dict[str, str] = field(default_factory=dict)  # signal -> what it showed when the guest was there
    error: HarnessError | None = None


@dataclass(frozen=True)
class Provisioned:
    """A whole run: the plan it carried out, and one result for each change of the plan."""

    plan: Plan
    results: tuple[GuestResult, ...]
    notes: tuple[str, ...]  # what was learned, or could not be, of guests that were complete already
    writes: int
    seconds: float
    retries: tuple[str, ...] = ()  # requests that had to be made again, with the reason

    @property
    def failed(self) -> tuple[GuestResult, ...]:
        return tuple(result for result in self.results if result.outcome == "failed")
