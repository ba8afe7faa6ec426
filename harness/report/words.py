"""Say verdicts, times and sentences of a run as a reader expects them: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from harness.report.model import Check, Report

WORDS: dict[str, str] = {
    "pass": "holds",
    "fail": "broken",
    "unknown": "could not look",
    "waived": "waived",
    "pending": "pending",
    "unasserted": "not yet shown",
}
SENTENCES = {
    "pass": "Every asserted promise holds or is waived.",
    "fail": "At least one promise is broken.",
    "unknown": "Something could not be looked at, so there is no verdict on the whole.",
}

ACRONYMS = re.compile("api|cpu|dhcp|dns|ha|id|ip|kvm|mac|nic|ntp|ptr|ssh|tcp|vm")
NAMES = {"debian": "Debian", "fedora": "Fedora", "terraform": "Terraform", "pve": "PVE", "vms": "VMs", "macs": "MACs"}

# The sentence of a broken promise, as harness.verify.expect makes it.
_BROKEN = re.compile(
    r"(?P<what>.+?): expected (?P<expected>.*), seen (?P<seen>.*)"
    r"\. Declared at (?P<declared>\S+:\d+)\. Next: (?P<next>.*)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Said:
    """A broken promise's sentence in its parts."""

    what: str
    expected: str
    seen: str
    declared: str
    next: str


@dataclass(frozen=True)
class Point:
    """What is wrong in the same way in one place or several: `said` is the sentence where it has no parts."""

    whats: tuple[str, ...]
    expected: str
    seen: str
    declared: tuple[str, ...]
    said: str = ""


def gather(sentences: Iterable[str]) -> tuple[tuple[Point, ...], tuple[str, ...]]:
    """The sentences as points, those with the same expectation and the same sight together; and what to do next."""
    alike: dict[tuple[str, str, str], list[Said]] = {}
    steps: dict[str, None] = {}
    for sentence in sentences:
        parts = parse_sentence(sentence)
        if parts is None:
            alike[("", "", sentence)] = []
        else:
            alike.setdefault((parts.expected, parts.seen, ""), []).append(parts)
            steps[parts.next] = None
    points = tuple(
        Point(_each(one.what for one in parts), expected, seen, _each(one.declared for one in parts), said)
        for (expected, seen, said), parts in alike.items()
    )
    return points, tuple(steps)


def _each(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def parse_sentence(message: str) -> Said | None:
    """The parts of `message`; None for a sentence of another shape, such as one about what could not be seen."""
    found = _BROKEN.fullmatch(message)
    return Said(**found.groupdict()) if found else None


def promise_of(check: Check) -> str:
    """`test_is_on_its_bridge[metrics-vm01]` as a reader says it; the guest stands beside it."""
    name, what = split_name(check.name)
    return spoken(name) if what in ("", check.guest) else f"{spoken(name)}: {what}"


def split_name(check: str) -> tuple[str, str]:
    """The spec's name, and what it was parametrised with."""
    name, _, what = check.removesuffix("]").partition("[")
    return name, what


def spoken(name: str) -> str:
    """The name of a spec as a promise: `test_sees_its_mac` is `Sees its MAC`."""
    words = [word.upper() if ACRONYMS.fullmatch(word) else NAMES.get(word, word) for word in name.split("_")[1:]]
    said = " ".join(words)
    return said[:1].upper() + said[1:]


def in_words(checks: Iterable[str]) -> tuple[str, ...]:
    """Checks by name, said once a spec: `Is protected: jump-vm01, oob-vm01`."""
    by_spec: dict[str, list[str]] = {}
    for check in checks:
        name, what = split_name(check)
        by_spec.setdefault(spoken(name), []).extend([what] if what else [])
    return tuple(f"{name}: {', '.join(whats)}" if whats else name for name, whats in by_spec.items())


def in_short(report: Report) -> str:
    """The headline: what is wrong, in numbers."""
    counts = report.counts
    if report.verdict == "pass":
        return "Every promise holds" if not counts["waived"] + counts["unasserted"] else "Nothing is broken"
    parts = []
    if counts["fail"]:
        parts.append(f"{_number(counts['fail'], 'promise')} {'is' if counts['fail'] == 1 else 'are'} broken")
    if counts["unknown"]:
        parts.append(f"{counts['unknown'] if parts else _number(counts['unknown'], 'promise')} could not be looked at")
    hopes = sum(clause.verdict == "unasserted" and not clause.checks for clause in report.clauses)
    if not parts and counts["pending"]:
        parts.append(f"{_number(counts['pending'], 'promise')} pending")
    if not parts and hopes and report.verdict == "fail":
        parts.append(f"{_number(hopes, 'promise')} {'is' if hopes == 1 else 'are'} asserted by no spec")
    return ", ".join(parts) or "The run is not whole"


def counted(verdict: str, count: int) -> str:
    """The word for that many: one holds, two hold."""
    return "hold" if verdict == "pass" and count != 1 else WORDS[verdict]


def age(moment: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{_number(seconds // size, unit)} ago"
    return "just now"


def days_left(until: date, today: date) -> str:
    """What remains of a waiver, its last day included."""
    left = (until - today) // timedelta(days=1) + 1
    if left <= 0:
        return f"over for {_number(1 - left, 'day')}"
    return "its last day" if left == 1 else f"{left} days left"


def duration(seconds: float) -> str:
    """Seconds as a reader compares them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
