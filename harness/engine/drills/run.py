"""Run one drill: refuse it where it is not allowed, undo what an earlier one left, and judge how it ends."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from harness.contract import Contract, DrillName
from harness.engine.drills.record import Record, Undo, Verdict, undo_of
from harness.engine.events import Report
from harness.engine.looks import GuestLooks
from harness.engine.quiet import changing
from harness.errors import HarnessError, Invalid, Missing, Refused, TimedOut, Unreachable, Unsafe, Untrusted
from harness.pve.client import Client, Writer

# With these nobody knows whether the promise holds; anything else that goes wrong breaks it.
NOT_LOOKED = (Unreachable, Refused, Untrusted, Missing, Invalid, Unsafe)


class Broken(HarnessError):
    """The promise does not hold: this is what the drill was for."""

    exit_status = 1


@dataclass
class Drilled:
    """A drill on its way: what it works with, and what it has seen."""

    contract: Contract
    client: Writer
    reader: Client
    looks: GuestLooks
    report: Report
    guest: str
    agent_grace_s: float = 15.0
    ready: Callable[[Set[str]], None] | None = None
    held: Callable[[], list[str]] | None = None  # what the core router holds
    locked: bool = False  # the caller holds the site's locks
    seen: dict[str, str] = field(default_factory=dict)

    def tools(self) -> dict[str, Any]:
        """As the engine's functions take them."""
        return {"client": self.client, "reader": self.reader, "looks": self.looks, "report": self.report}

    def router_entries(self) -> list[str]:
        return self.held() if self.held is not None else []


def run(
    drill: DrillName, drilled: Drilled, act: Callable[[Undo], str], undo: Callable[[dict[str, str]], None]
) -> Record:
    """`act` writes what is to be undone before its first change and returns what it proved; `undo` undoes that."""
    contract = drilled.contract
    _require_allowed(contract, drill)
    with nullcontext() if drilled.locked else changing(contract, drilled.looks, drilled.report):
        left = settle(drill, drilled, undo)
        began = time.monotonic()
        verdict, said, failure = _judged(lambda: _undone(left, undo, lambda: act(left)))
        record = Record(
            drill, verdict, time.time(), round(time.monotonic() - began, 3), drilled.guest, said, drilled.seen
        )
    if isinstance(failure, KeyboardInterrupt):
        raise failure
    return record


def settle(drill: DrillName, drilled: Drilled, undo: Callable[[dict[str, str]], None]) -> Undo:
    """What an earlier one that was cut off left is undone."""
    left = undo_of(drilled.contract, drill)
    if (what := left.read()) is not None:
        undo(what)
        left.done()
    return left


def _judged(act: Callable[[], str]) -> tuple[Verdict, str, BaseException | None]:
    try:
        return "pass", act(), None
    except KeyboardInterrupt as stopped:
        return "unknown", "it was stopped, and what it had changed is undone", stopped
    except TimedOut as error:
        return "fail", str(error), error
    except NOT_LOOKED as error:
        return "unknown", str(error), error
    except HarnessError as error:
        return "fail", str(error), error


def _undone(left: Undo, undo: Callable[[dict[str, str]], None], act: Callable[[], str]) -> str:
    """Whatever `act` ends with; what cannot be undone stays on the list for the next run, and is said beside it."""
    first: BaseException | None = None
    said = ""
    try:
        said = act()
    except (HarnessError, KeyboardInterrupt) as error:
        first = error
    if (what := left.read()) is not None:
        try:
            with uninterrupted():
                undo(what)
        except HarnessError as error:
            raise HarnessError(
                tried="leave the site as the drill found it",
                on=what.get("guest", "the site"),
                happened=f"{error}" + (f" This followed on: {first}" if first else ""),
                do="Run the same drill again: it begins by undoing that",
            ) from error
        left.done()
    if first is not None:
        raise first
    return said


def _require_allowed(contract: Contract, drill: DrillName) -> None:
    if drill not in contract.drills:
        allowed = ", ".join(sorted(contract.drills)) or "none"
        raise Invalid(
            tried=f"run the drill {drill}",
            on=f"site {contract.site}",
            happened=f"the inventory does not allow it there (allowed: {allowed}); nothing was changed",
            do=f"Drills change things; to allow it, add {drill} to mgmt_site.drills in group_vars/all",
        )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not cut off what the first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)
