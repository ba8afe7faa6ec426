"""Render a run as one HTML file that needs nothing else: no script, no request, light and dark, screen and paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.evidence import Fact
from harness.report.background import NOTHING, Background
from harness.report.chart import measure
from harness.report.compiled import CompiledTemplates
from harness.report.model import Check, ClauseResult, Report, ShownChain, ShownGuest, Verdict
from harness.report.picture import NARROW, WIDE, draw
from harness.report.trouble import gravest_first, troubles
from harness.report.words import (
    SENTENCES,
    WORDS,
    age,
    counted,
    days_left,
    duration,
    gather,
    in_short,
    in_words,
    promise_of,
    split_name,
)

GRAVEST: tuple[Verdict, ...] = ("fail", "unknown", "pending", "unasserted", "waived", "pass")
SOURCES = {
    "api": "API",
    "host": "hypervisor",
    "guest": "inside the VM",
    "router": "router",
    "net": "on the wire",
    "inventory": "declared",
    "drill": "drill",
}


@dataclass(frozen=True)
class Spec:
    """The checks of one spec: one for each VM, or for whatever it is about; what is wrong comes first."""

    promise: str
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        return self.checks[0].verdict

    @property
    def kept(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict == "pass")

    @property
    def not_kept(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.verdict != "pass")


@dataclass(frozen=True)
class Vm:
    """A VM with its chain and how its checks went."""

    guest: ShownGuest
    chain: ShownChain | None
    counts: dict[Verdict, int]


_HERE = Path(__file__)
_COMPILED = CompiledTemplates(_HERE.parent / "templates/__pycache__", _HERE)


def prepare() -> None:
    """Load the templates, for whoever has time for it before there is a report."""
    environment = _environment(datetime.now().astimezone())
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


def render_html(report: Report, background: Background = NOTHING) -> str:
    """The report as text of an HTML document."""
    environment = _environment(report.started_at)
    return environment.get_template("report.html").render(
        report=report,
        background=background,
        words=WORDS,
        sources=SOURCES,
        headline=in_short(report),
        sentence=SENTENCES[report.verdict],
        grouped=_grouped(report),
        shown={clause.id for clause in report.clauses if clause.group in report.groups},
        counts={verdict: report.counts[verdict] for verdict in WORDS if report.counts[verdict]},
        wrong={verdict: gravest_first(troubles(report, verdict)) for verdict in ("fail", "unknown", "pending")},
        vms=_vms(report),
        drawings=[drawing for size in (WIDE, NARROW) if (drawing := draw(report, size))],
        chart=measure(background.builds),
    )


def _environment(now: datetime) -> Environment:
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.filters.update(clock=_clock, answer=_answer, specs=_specs, promise=promise_of, marked=_marked)
    environment.filters.update(duration=duration, gather=gather, in_words=in_words, counted=counted)
    environment.filters.update(ago=lambda moment: age(moment, now), left=lambda until: days_left(until, _day(now)))
    environment.tests["told_by_a_check"] = _is_told_by_a_check
    return environment


def _grouped(report: Report) -> list[tuple[str, str, list[ClauseResult]]]:
    """Key, title and clauses of each group that has some."""
    groups = (
        (key, title, [clause for clause in report.clauses if clause.group == key])
        for key, title in report.groups.items()
    )
    return [(key, title, clauses) for key, title, clauses in groups if clauses]


def _specs(clause: ClauseResult) -> list[Spec]:
    by_name: dict[str, list[Check]] = {}
    for check in clause.checks:
        by_name.setdefault(split_name(check.name)[0], []).append(check)
    return [Spec(_common(checks), tuple(sorted(checks, key=_gravity))) for checks in by_name.values()]


def _common(checks: list[Check]) -> str:
    """What the checks of a spec promise, without what each of them is about."""
    said = promise_of(checks[0])
    return said if len(checks) == 1 else said.partition(":")[0]


def _gravity(check: Check) -> int:
    return GRAVEST.index(check.verdict)


def _vms(report: Report) -> list[Vm]:
    chains = {chain.guest: chain for chain in report.chains}
    return [Vm(guest, chains.get(guest.name), dict(_counts(report, guest.name))) for guest in report.guests]


def _counts(report: Report, guest: str) -> Iterator[tuple[Verdict, int]]:
    """How the checks of a VM went, what is wrong first."""
    verdicts = [check.verdict for clause in report.clauses for check in clause.checks if check.guest == guest]
    yield from ((verdict, verdicts.count(verdict)) for verdict in GRAVEST if verdict in verdicts)


def _is_told_by_a_check(clause: ClauseResult) -> bool:
    """Whether the clause's message is one of its checks', which stands there again when the clause is open."""
    return any(check.message and clause.message.startswith(check.message) for check in clause.checks)


def _marked(text: str) -> Markup:
    """A command between backticks looks like one."""
    parts = (escape(part) for part in text.split("`"))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _answer(fact: Fact) -> Markup:
    return _escaped(fact.answered)


@lru_cache(maxsize=4096)  # dozens of checks stand on the same answer
def _escaped(text: str) -> Markup:
    return escape(_in_lines(text))


def _in_lines(text: str) -> str:
    """JSON in lines that can be read; anything else, and JSON that was cut, as it came."""
    if text[:1] in ("{", "["):
        try:
            return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
        except ValueError:
            return text
    return text


def _clock(fact: Fact) -> str:
    return _at(int(fact.at))


@lru_cache(maxsize=256)  # thousands of answers came within a few seconds
def _at(second: int) -> str:
    return datetime.fromtimestamp(second).astimezone().strftime("%H:%M:%S")


def _day(moment: datetime) -> date:
    return moment.astimezone().date()
