"""Run contenders in turns, so that what else the machine does befalls all of them, and within a bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.critical_path import CriticalPath
from benchmarks.results import Cost, Results, Run
from harness.errors import HarnessError

SHORT_S = 30.0  # what takes longer comes last, after the first round


class Failed(Exception):
    """A contender did not do its work, so its time means nothing."""


class Meter(Protocol):
    """What the servers counted since the last look, and how long their own work took where VMs were made."""

    def start(self) -> None: ...
    def read(self) -> Cost: ...
    def read_path(self) -> CriticalPath | None: ...


@dataclass(frozen=True)
class Contender:
    """One way to do one job. `prepare` is not timed; `run` is, and returns what `count_checks` reads."""

    name: str
    title: str
    run: Callable[[], str]
    prepare: Callable[[], None] = lambda: None
    count_checks: Callable[[str], int] = lambda _: 0


@dataclass(frozen=True)
class Bounds:
    """How often, and for how long altogether."""

    runs: int
    seconds: float


def take_turns(
    contenders: Sequence[Contender],
    bounds: Bounds,
    results: Results,
    meter: Meter,
    *,
    keep: Callable[[Results], None],
    tell: Callable[[str], None],
) -> None:
    """Each contender once per round; what takes long has its further turns after what is short, if there is time.

    What `results` holds already is not measured again: a run that was cut off goes on from there. Who fails has no
    other turn, and the rest go on.
    """
    began = time.monotonic()

    def turn(contender: Contender, number: int) -> None:
        if results.count(contender.name) > number or contender.name in results.failed:
            return
        if number and time.monotonic() - began + (results.median(contender.name) or 0.0) > bounds.seconds:
            tell(f"{contender.title}: no time for run {number + 1}")
            return
        try:
            run = _measure(contender, meter)
        except (Failed, HarnessError) as error:
            results.failed[contender.name] = str(error)
            tell(f"{contender.title}: {error}")
        else:
            results.add(contender.name, run)
            tell(f"{contender.title}: {run.seconds:.2f} s")
        keep(results)

    for contender in contenders:
        turn(contender, 0)
    long = {one.name for one in contenders if (results.median(one.name) or 0.0) > SHORT_S}
    for takes_long in (False, True):
        for number in range(1, bounds.runs):
            for contender in contenders:
                if (contender.name in long) is takes_long:
                    turn(contender, number)


def _measure(contender: Contender, meter: Meter) -> Run:
    contender.prepare()
    meter.start()
    began = time.monotonic()
    said = contender.run()
    seconds = time.monotonic() - began
    cost, path = meter.read(), meter.read_path()
    return Run(round(seconds, 3), contender.count_checks(said), cost, path)
