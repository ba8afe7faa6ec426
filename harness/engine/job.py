"""Everything one guest's steps share: whom they build, with what, and how they tell about it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from harness.ahead import Ahead
from harness.contract import Contract, Guest
from harness.engine.events import Event, GuestResult, Report, Step
from harness.engine.looks import GuestLooks
from harness.errors import HarnessError, Unsafe
from harness.journal import Journal
from harness.observed import ObservedGuest
from harness.plan import Change
from harness.pve import read
from harness.pve.client import Writer
from harness.pve.upid import TaskEnd


class Cancelled(Exception):
    """The run is being stopped; raised at the next point where stopping leaves a state the next run understands."""


@dataclass(frozen=True)
class Shared:
    """What all guests of a run have in common."""

    contract: Contract
    writer: Writer
    looks: GuestLooks
    journal: Journal
    report: Report
    agent_grace_s: float  # how long a silent agent is waited for before the router's lease may speak for the guest
    began: float = field(default_factory=time.monotonic)
    stop: threading.Event = field(default_factory=threading.Event)
    # An agent that is not up yet keeps one of PVE's three workers busy for three seconds: one such question at a time.
    agent_turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))
    ahead: Ahead = field(default_factory=Ahead)
    done: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)  # guests; None: no more will come

    def check(self) -> None:
        if self.stop.is_set():
            raise Cancelled

    def tell(self, guest: str | None, step: Step | None, state: str, text: str) -> None:
        event = Event(guest, step, state, text, time.monotonic() - self.began)  # type: ignore[arg-type]
        self.report(event)


@dataclass(frozen=True)
class Job:
    """One guest on its way."""

    shared: Shared
    guest: Guest
    change: Change
    result: GuestResult

    @property
    def node(self) -> str:
        return self.shared.contract.hypervisor.node

    @property
    def writer(self) -> Writer:
        return self.shared.writer

    @property
    def looks(self) -> GuestLooks:
        return self.shared.looks

    @property
    def on(self) -> str:
        return f"{self.guest.name} (VM {self.guest.vmid})"

    def check(self) -> None:
        self.shared.check()

    def read(self, *, status: str | None = None) -> ObservedGuest | None:
        """`status` is what is known of it already, and is not asked for again."""
        return read.read_guest(self.writer, self.node, self.guest.vmid, status=status)

    def ask_for_strangers(self) -> None:
        """Begin to look whether something has its address already."""
        self.shared.ahead.ask(self.guest.name, partial(self.looks.answers, self.guest))

    def require_no_stranger(self, then: str, *, within_s: float | None = None) -> None:
        """Unsafe when something has its address already; with `within_s` only when that is known by then."""
        look, ahead = partial(self.looks.answers, self.guest), self.shared.ahead
        name = self.guest.name
        stranger = ahead.answer(name, look) if within_s is None else ahead.early(name, look, within_s)
        if stranger is not None:
            raise Unsafe(
                tried="make the guest",
                on=self.on,
                happened=f"something already has its address: {stranger}; {then}",
                do="Find out what that is and remove it, then run the same command again; or declare another address",
            )

    def remember(self, step: str, **fields: str | int | None) -> None:
        self.shared.journal.write(self.guest.name, self.guest.vmid, step, **fields)

    def note(self, step: Step, text: str) -> None:
        self.shared.tell(self.guest.name, step, "note", text)

    def retried(self, step: Step, text: str) -> None:
        self.result.retries.append(f"{step}: {text}")
        self.note(step, text)

    def ended(self, step: Step, task: TaskEnd) -> None:
        self.result.upids.append(task.upid.text)
        for warning in task.warnings:
            self.result.warnings.append(warning)
            self.note(step, warning)

    @contextmanager
    def step(self, step: Step, text: str) -> Iterator[None]:
        """Time a step; `check` stands before it, so that a cancelled run begins nothing new."""
        self.check()
        self.shared.tell(self.guest.name, step, "begin", text)
        started = time.monotonic()
        try:
            yield
        finally:
            self.result.seconds[step] = round(time.monotonic() - started, 3)
        self.shared.tell(self.guest.name, step, "done", text)

    def wait_text(self, step: Step) -> Callable[[str], None]:
        return lambda text: self.shared.tell(self.guest.name, step, "wait", text)


def unexpected(tried: str, on: str, error: Exception) -> HarnessError:
    """A bug of ours, as a failure that can be told like any other."""
    wrapped = HarnessError(
        tried=tried,
        on=on,
        happened=f"the tool itself failed: {type(error).__name__}: {error}",
        do="Report this; running the same command again goes on from here",
    )
    wrapped.__cause__ = error
    return wrapped
