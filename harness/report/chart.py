"""Measure bars: how long each step of building each VM took, and how earlier runs ended. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from harness.report.builds import Build

SCALE = 1000  # the whole width of a bar
STEPS = ("clone", "configure", "start", "reach", "identity", "finish")


@dataclass(frozen=True)
class Part:
    """A piece of a bar."""

    step: str
    x: float
    width: float
    seconds: float


@dataclass(frozen=True)
class Bar:
    build: Build
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chart:
    """Bars on one axis; `ticks` are seconds with their place on it."""

    bars: tuple[Bar, ...]
    steps: tuple[str, ...]  # those that occur, in the order in which they are done
    ticks: tuple[tuple[float, float], ...]


def measure(builds: Sequence[Build]) -> Chart | None:
    """None where nothing is known."""
    longest = max((build.total_s for build in builds), default=0.0)
    if longest <= 0:
        return None
    step_s = _round_step(longest)
    end_s = ceil(longest / step_s) * step_s
    bars = tuple(Bar(build, _parts(build, end_s)) for build in builds)
    known = [step for build in builds for step in build.seconds]
    steps = tuple(sorted(dict.fromkeys(known), key=lambda one: STEPS.index(one) if one in STEPS else len(STEPS)))
    count = round(end_s / step_s)
    ticks = tuple((number * step_s, number / count * SCALE) for number in range(count + 1))
    return Chart(bars, steps, ticks)


def _parts(build: Build, end_s: float) -> tuple[Part, ...]:
    parts, x = [], 0.0
    for step, seconds in build.seconds.items():
        width = seconds / end_s * SCALE
        parts.append(Part(step, round(x, 2), round(width, 2), seconds))
        x += width
    return tuple(parts)


def _round_step(longest: float) -> float:
    """The distance of ticks: 1, 2 or 5 of some power of ten, and no more than five of them."""
    step = 0.1
    while longest / step > 5:
        for factor in (2, 2.5, 2):
            if longest / step > 5:
                step *= factor
    return step
