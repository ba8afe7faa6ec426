"""Ask each host over SSH in one round trip: what checks will ask is sent ahead, and only what is new is asked live."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from testinfra.host import Host

from harness.contract import Contract
from harness.errors import HarnessError, TimedOut
from harness.evidence import HIDDEN, Evidence
from harness.remote import hosts, ssh
from harness.verify.batch import Answers, new_mark, parse_batch, render_batch, sort_answers
from harness.verify.lanes import Heard, Lane, parse_lanes, render_lanes
from harness.verify.looks import Look, Looks
from harness.verify.memory import Memory, may_foresee

HOST_TIMEOUT_S = 20.0
# What is remembered is asked beside the rest, and must not make a run wait for it: then it is asked live.
FORESEEN_TIMEOUT_S = 10.0
# The script comes on standard input, where no length is too much; whatever runs in it reads nothing of it.
RUN_INPUT = 'eval "$(cat)"'


class Trips:
    """The hosts of one run. What is planned for a host goes with the first question to it."""

    def __init__(self, contract: Contract, looks: Looks, memory: Memory) -> None:
        self._contract = contract
        self.looks = looks
        self._memory = memory
        self._planned: dict[str, dict[str, Lane]] = {}
        self._started: set[str] = set()
        self._lost: dict[str, HarnessError] = {}
        self._connections: ssh.Connections | None = None
        self._machines: dict[str, Host] = {}
        self._lock = threading.Lock()
        self.count = 0
        self.started = time.monotonic()

    @property
    def state_dir(self) -> Path:
        return self._contract.state_dir

    @property
    def planned(self) -> tuple[str, ...]:
        """The hosts that a round trip is planned to."""
        return tuple(self._planned)

    def start(self, *names: str) -> None:
        """Take the round trips planned to these hosts, or to all; nobody waits for them here."""
        fresh = [name for name in names or self.planned if name not in self._started]
        self._started.update(fresh)
        self.looks.ahead([partial(self._take, name) for name in fresh])

    def plan(self, name: str, key: str, commands: Mapping[str, str], timeout_s: float = HOST_TIMEOUT_S) -> None:
        """Have these commands sent with the first round trip to `name`."""
        self._planned.setdefault(name, {})[key] = Lane(key, commands, timeout_s)

    def plan_remembered(self, name: str) -> None:
        """Have what was asked of `name` last time sent with the first round trip, if there was anything."""
        if self._memory.foresee(name):
            self._planned.setdefault(name, {})

    def look(
        self, name: str, key: str, commands: Mapping[str, str], source: str, timeout_s: float = HOST_TIMEOUT_S
    ) -> Look[Answers]:
        """The answers to these commands, out of the one round trip when they were planned."""

        def look(evidence: Evidence) -> Answers:
            try:
                said, at = self._said(name, key, commands, timeout_s)
                # The one long script is recorded as its single questions instead.
                return sort_answers(name, commands, said, source=source, evidence=evidence, note=self.looks.note, at=at)
            except HarnessError as failure:
                evidence.record(source, f"{name}: log in and answer", f"nothing: {failure.happened}")
                raise

        return look

    def machine(self, name: str, source: str) -> Host:
        """The host as testinfra sees it."""
        if name not in self._machines:
            self._machines[name] = hosts.make_host(partial(self._run_on, name, source), name)
        return self._machines[name]

    def answer(self, name: str, source: str, command: str, evidence: Evidence) -> ssh.Result:
        """One command's own answer, sent ahead when it was asked the last time, too."""
        asked = f"{name}: {command}"
        try:
            result, at = self._ask(name, command)
        except HarnessError as failure:
            evidence.record(source, asked, f"nothing: {failure.happened}")
            raise
        # The answer is a password's hash.
        said = HIDDEN if "getent shadow" in command else hosts.show_result(result)
        evidence.record(source, asked, said, at)
        return result

    def _run_on(self, name: str, source: str, command: str, *, stdin: str | None = None) -> ssh.Result:
        """What only reads is asked once in a run; anything else each time."""

        def look(evidence: Evidence) -> ssh.Result:
            return self.answer(name, source, command, evidence)

        if stdin is not None:
            raise ValueError("a check gives its commands nothing to read")
        if may_foresee(command):
            return self.looks.take(f"{name}: {command}", look)
        evidence = Evidence()
        try:
            return look(evidence)
        finally:
            self.looks.note(*evidence.facts)

    def _ask(self, name: str, command: str) -> tuple[ssh.Result, float]:
        heard = self._take(name)
        if heard and command in heard.foreseen:
            result, at = heard.foreseen[command], heard.at
        else:
            result, at = self._ask_live(name, command), time.time()
        self._memory.note(name, command)
        return result, at

    def _ask_live(self, name: str, command: str) -> ssh.Result:
        """A host that nobody could log in to is not tried again for each of its questions."""
        if name in self._lost:
            raise self._lost[name].with_traceback(None)
        return self.run(name, command)

    def run(
        self, name: str, command: str, *, stdin: str | None = None, timeout_s: float = HOST_TIMEOUT_S
    ) -> ssh.Result:
        """A round trip of its own."""
        with self._lock:
            self.count += 1
        try:
            return ssh.run(self.opened(), name, command, stdin=stdin, timeout_s=timeout_s)
        except TimedOut:
            raise
        except HarnessError as failure:
            self._lost[name] = failure
            raise

    def opened(self) -> ssh.Connections:
        """The shared connections of this run; nobody is contacted by asking for them."""
        with self._lock:
            if self._connections is None:
                self._connections = ssh.open_connections(ssh.site_logins(self._contract))
            return self._connections

    def remember(self, *, whole: bool) -> None:
        """Keep for the next run what this one asked; a `whole` one also forgets what nobody asks any more."""
        hosts = [name for name in self._planned if name not in self._lost]
        self._memory.keep(hosts if whole else ())

    def close(self) -> None:
        if self._connections is not None:
            ssh.close(self._connections)
            self._connections = None

    def _said(
        self, name: str, key: str, commands: Mapping[str, str], timeout_s: float
    ) -> tuple[Mapping[str, tuple[int, str]], float]:
        if key in self._planned.get(name, {}) and (heard := self._take(name)) and key in heard.said:
            return heard.said[key], heard.at
        mark = new_mark()
        said = self.run(name, render_batch(commands, mark), timeout_s=timeout_s)
        return parse_batch(said.stdout, mark), time.time()

    def _take(self, name: str) -> Heard | None:
        """The one round trip; None when nothing was planned for it."""
        if name not in self._planned:
            return None
        return self.looks.fetch(f"round trip to {name}", partial(self._go, name))

    def _go(self, name: str, _: Evidence) -> Heard:
        lanes, foreseen, mark = list(self._planned[name].values()), self._memory.foresee(name), new_mark()
        script = render_lanes(lanes, foreseen, mark, FORESEEN_TIMEOUT_S)
        limit_s = max([FORESEEN_TIMEOUT_S, *(lane.timeout_s for lane in lanes)]) + 2 * ssh.KILL_AFTER_S
        said = self.run(name, RUN_INPUT, stdin=script, timeout_s=limit_s)
        return parse_lanes(said, lanes, foreseen, mark, time.time())
