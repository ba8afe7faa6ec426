"""Follow the installer by what it prints: how far it is, that it failed and why, or that it stands still."""

# The lines are those of pve-installer at 8.4.6 (unconfigured.sh, proxmox-auto-installer, proxmox-fetch-answer).

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from harness.nested.serial import find_failure

# How many lines before a failure are told with it.
TOLD = 6
POWER_ON = "power on"
DONE = "Installation done, powering off"

PROGRESS = "progress"

# The beginning of a line, and for how many seconds nothing new may follow it with KVM.
PATIENCE_S: Mapping[str, float] = {
    POWER_ON: 120.0,  # firmware, boot menu, and a kernel that says nothing
    "Starting Proxmox installation": 60.0,
    "EFI boot mode detected": 60.0,
    "Installing additional hardware drivers": 90.0,
    "Preparing DHCP": 60.0,
    "Attempting to get DHCP leases": 120.0,  # dhclient gives up after a minute
    "Starting chrony": 60.0,
    "Starting a root shell on tty3": 60.0,
    "Setting console loglevel": 60.0,
    "Caching device info from udev": 60.0,
    "Fetching answers for automatic installation": 60.0,
    "Starting automatic installation": 120.0,
    PROGRESS: 300.0,  # one step may be the unpacking of a whole system
    "Finished:": 60.0,
    "Installation done.": 60.0,
    "Gathering installed system data": 90.0,
    DONE: 60.0,
    "Installation done, rebooting": 60.0,
    "Terminate all remaining processes": 60.0,
    "Kill any remaining processes": 60.0,
    "unmounting ISO": 30.0,
    "powering off": 30.0,
    "rebooting": 30.0,
}
_PROGRESS = re.compile(r"progress\s+(?P<percent>\d+(\.\d+)?) % - (?P<text>.+)")
_KERNEL_TIME = re.compile(r"^\[\s*\d+\.\d+\]\s*")

_FAILURES = (
    re.compile(r"Auto-installation failed"),
    re.compile(r"Post-installation hook failed"),
    re.compile(r"Automatic installation selected but no config for fetching the answer file found"),
    re.compile(r"Aborting: Could not find any answer file"),
    re.compile(r"Installation aborted - unable to continue"),
)


@dataclass(frozen=True)
class Failure:
    """`last_words` are what stood before the line by which it was known."""

    kind: Literal["refused", "died"]
    line: str
    last_words: tuple[str, ...]

    def __str__(self) -> str:
        return " | ".join((*self.last_words, self.line))


@dataclass(frozen=True)
class Course:
    """How far an installation is; `since` is when it said the last thing that was new, on the caller's clock."""

    since: float
    milestone: str = POWER_ON
    share: float = 0.0
    patience_s: float = PATIENCE_S[POWER_ON]
    done: bool = False
    failure: Failure | None = None
    recent: tuple[str, ...] = ()


def follow(course: Course, lines: Iterable[str], *, now: float, limits: Mapping[str, float] = PATIENCE_S) -> Course:
    """The course after these lines, all of which were read at `now`; `limits` are as in PATIENCE_S."""
    for line in lines:
        course = _step(course, line.strip(), now, limits)
    return course


def stands_still(course: Course, *, now: float, patience: float) -> bool:
    """Whether the last milestone was too long ago; `patience` is how many times longer everything takes here."""
    return now - course.since > course.patience_s * patience


def _step(course: Course, line: str, now: float, limits: Mapping[str, float]) -> Course:
    if course.failure is not None:
        return course
    if died := find_failure(line):
        return replace(course, failure=Failure("died", died, ()))
    if any(failure.search(line) for failure in _FAILURES):
        return replace(course, failure=Failure("refused", line, course.recent))
    if found := _PROGRESS.match(line):
        share = float(found["percent"]) / 100
        return _reached(course, f"{found['percent']} % {found['text'].strip()}", limits[PROGRESS], now, share)
    for beginning, patience_s in limits.items():
        if line.startswith(beginning):
            return _reached(replace(course, done=course.done or beginning == DONE), line, patience_s, now)
    kept = (*course.recent, _KERNEL_TIME.sub("", line))[-TOLD:]
    return replace(course, recent=kept)


def _reached(course: Course, milestone: str, patience_s: float, now: float, share: float | None = None) -> Course:
    """The same thing said again is no way forward."""
    if milestone == course.milestone:
        return course
    return replace(
        course,
        milestone=milestone,
        patience_s=patience_s,
        since=now,
        share=course.share if share is None else share,
        recent=(),
    )
