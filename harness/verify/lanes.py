"""Put all questions to one host into one script: groups of them side by side, and what is remembered unasked.

A group that waits (for DHCP servers, for a clock) holds nobody up, and one that hangs is cut off alone. Nothing is
written over there: a group's answers wait in a pipe until those of the one before are through.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.remote.ssh import KILL_AFTER_S, Result
from harness.verify.batch import parse_batch, parse_frames, render_batch

# What one host may answer to all that is remembered; a file without end is cut off here.
MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Lane:
    """Questions that are asked one after another."""

    key: str
    commands: Mapping[str, str]
    timeout_s: float


@dataclass(frozen=True)
class Heard:
    """The answers by lane and name, and by command those that nobody has asked for yet; `at` is when they came."""

    said: Mapping[str, Mapping[str, tuple[int, str]]]
    foreseen: Mapping[str, Result]
    at: float


def render_lanes(lanes: Sequence[Lane], foreseen: Sequence[str], mark: str, timeout_s: float) -> str:
    """A POSIX script for all of it."""
    parts = [
        _limited(render_batch(lane.commands, _lane_mark(mark, at)), lane.timeout_s) for at, lane in enumerate(lanes)
    ]
    # The quick ones write at once. Each slow one stands before a pipe, on whose other end all others are served first.
    script = f"{_limited(_render_foreseen(foreseen, mark), timeout_s)} | head -c {MOST_BYTES}" if foreseen else ""
    for part in parts:
        quiet = f"{part} 2>/dev/null"
        script = f"{quiet} | {{\n{script}\ncat\n}}" if script else quiet
    return script


def parse_lanes(said: Result, lanes: Sequence[Lane], foreseen: Sequence[str], mark: str, at: float) -> Heard:
    """What was cut off is left out."""
    by_lane = {lane.key: parse_batch(said.stdout, _lane_mark(mark, number)) for number, lane in enumerate(lanes)}
    return Heard(by_lane, _parse_foreseen(said, foreseen, mark), at)


def _lane_mark(mark: str, number: int) -> str:
    return f"{mark}-{number}"


def _limited(script: str, timeout_s: float) -> str:
    return f"timeout -k {KILL_AFTER_S} {timeout_s:g} sh -c {shlex.quote(script)} </dev/null"


def _render_foreseen(commands: Sequence[str], mark: str) -> str:
    """Both streams apart and in frames of their own, each command in a shell of its own that a mistake would end."""
    frames = (
        f"echo '{mark} {number}'; echo '{mark} {number}' >&2\n"
        f"( eval {shlex.quote(command)} ) </dev/null; r=$?\n"
        f"printf '\\n%s %d\\n' '{mark} end' $r; printf '\\n%s %d\\n' '{mark} end' $r >&2"
        for number, command in enumerate(commands)
    )
    return "\n".join(frames)


def _parse_foreseen(said: Result, commands: Sequence[str], mark: str) -> dict[str, Result]:
    stdout, stderr = parse_frames(said.stdout, mark), parse_frames(said.stderr, mark)
    both = stdout.keys() & stderr.keys()
    return {
        command: Result(stdout[key][0], stdout[key][1], stderr[key][1])
        for number, command in enumerate(commands)
        if (key := str(number)) in both
    }
