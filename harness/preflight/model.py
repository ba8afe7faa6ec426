"""What a preflight found: for each check how it went, and for each failure one sentence that ends in what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from harness.preflight.view import View

State = Literal["ok", "note", "waived", "absent", "failed", "unknown"]
Before = Literal["bootstrap", "provision"]
# From harmless to grave; a check is as grave as its gravest finding.
GRAVITY: tuple[State, ...] = ("ok", "note", "waived", "absent", "unknown", "failed")
STOPPING = frozenset({"failed", "unknown"})


@dataclass(frozen=True)
class Finding:
    """`said` is what was seen; `do` what mends it, empty where nothing needs to be done.

    `because` names the check that tells the reason already.
    """

    state: State
    said: str
    do: str = ""
    because: str | None = None

    def __str__(self) -> str:
        return ". ".join(part.rstrip(".") for part in (self.said, self.do) if part) + "."


@dataclass(frozen=True)
class Check:
    """One question; `before` is the first command that needs it, `clause` the promise a waiver may name."""

    id: str
    title: str
    before: Before
    look: Callable[[View], Iterable[Finding]]
    clause: str | None = None
    reaches: bool = False  # whether somebody answers is the question itself


@dataclass(frozen=True)
class Result:
    """How one check went."""

    id: str
    title: str
    findings: tuple[Finding, ...]

    @property
    def state(self) -> State:
        return max((finding.state for finding in self.findings), key=GRAVITY.index, default="ok")


@dataclass(frozen=True)
class Preflight:
    """How all checks went."""

    site: str
    before: Before
    results: tuple[Result, ...]
    seconds: float

    @property
    def stopping(self) -> tuple[Result, ...]:
        """The checks because of which the request cannot go on."""
        return tuple(result for result in self.results if result.state in STOPPING)

    @property
    def reasons(self) -> tuple[Result, ...]:
        """Those of them that tell a reason of their own."""
        return tuple(one for one in self.stopping if any(found.because is None for found in one.findings))

    @property
    def ready(self) -> bool:
        return not self.stopping


def ok(said: str) -> Finding:
    return Finding("ok", said)


def note(said: str, do: str = "") -> Finding:
    return Finding("note", said, do)


def absent(said: str) -> Finding:
    return Finding("absent", said)


def failed(said: str, do: str) -> Finding:
    return Finding("failed", said, do)


def unknown(said: str, do: str) -> Finding:
    return Finding("unknown", said, do)
