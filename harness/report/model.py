"""The result of one run of the contract: every clause, its checks and the evidence behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from harness.evidence import Fact

Verdict = Literal["pass", "fail", "unknown", "waived", "pending", "unasserted"]
Overall = Literal["pass", "fail", "unknown"]

VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "unknown", "waived", "pending", "unasserted")


@dataclass(frozen=True)
class Check:
    """One spec, on one guest where it is about a guest."""

    name: str
    verdict: Verdict
    guest: str | None
    message: str
    evidence: tuple[Fact, ...]
    seconds: float


@dataclass(frozen=True)
class ShownWaiver:
    """A waiver as the inventory gives it; `expired` when its last day is over."""

    clause: str
    reason: str
    owner: str
    until: date
    declared: str
    expired: bool


@dataclass(frozen=True)
class ClauseResult:
    """A promise, what became of it, and why."""

    id: str
    group: str
    title: str
    promise: str
    source: str
    severity: str
    verdict: Verdict
    message: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class ShownGuest:
    """A declared VM, for the table of guests."""

    name: str
    vmid: int
    category: str
    mac: str
    address: str


@dataclass(frozen=True)
class ShownChain:
    """A VM's identity link by link from the inventory on: those that hold, and the first that does not."""

    guest: str
    held: tuple[str, ...]
    broken_at: str | None  # None: whole
    verdict: Verdict
    said: str


@dataclass(frozen=True)
class ShownDrill:
    """How a drill stands: what the last one showed, and how long ago the last good one was."""

    name: str
    clause: str
    verdict: Verdict
    said: str
    last_good: datetime | None
    seconds: float | None  # how long the last one took
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """One run on one site."""

    site: str
    verdict: Overall
    clauses: tuple[ClauseResult, ...]
    groups: Mapping[str, str]
    waivers: tuple[ShownWaiver, ...]
    guests: tuple[ShownGuest, ...]
    hypervisor: str
    api_calls: int
    ssh_trips: int
    seconds: float
    started_at: datetime
    problems: tuple[str, ...] = ()  # what kept the run itself from being whole
    chains: tuple[ShownChain, ...] = ()  # of the VMs whose every link was looked at
    drills: tuple[ShownDrill, ...] = ()
    retries: tuple[str, ...] = ()  # requests that had to be made again, with the reason
    profile: str = "management"  # which view of the contract was asked for

    @property
    def counts(self) -> dict[str, int]:
        """How many clauses have each verdict."""
        return {verdict: sum(clause.verdict == verdict for clause in self.clauses) for verdict in VERDICTS}

    @property
    def exit_status(self) -> int:
        return {"pass": 0, "fail": 1, "unknown": 2}[self.verdict]

    def of(self, verdict: Verdict) -> tuple[ClauseResult, ...]:
        """The clauses with this verdict."""
        return tuple(clause for clause in self.clauses if clause.verdict == verdict)


def render_json(report: Report) -> dict[str, Any]:
    """`report` as plain values, ready for json.dumps."""
    return {
        "site": report.site,
        "profile": report.profile,
        "verdict": report.verdict,
        "started_at": report.started_at.isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "api_calls": report.api_calls,
        "ssh_trips": report.ssh_trips,
        "counts": report.counts,
        "problems": list(report.problems),
        "retries": list(report.retries),
        "waivers": [_waiver(waiver) for waiver in report.waivers],
        "chains": [_chain(chain) for chain in report.chains],
        "drills": [_drill(drill) for drill in report.drills],
        "clauses": [_clause(clause) for clause in report.clauses],
    }


def _chain(chain: ShownChain) -> dict[str, Any]:
    return {
        "guest": chain.guest,
        "held": list(chain.held),
        "broken_at": chain.broken_at,
        "verdict": chain.verdict,
        "said": chain.said,
    }


def _drill(drill: ShownDrill) -> dict[str, Any]:
    return {
        "name": drill.name,
        "clause": drill.clause,
        "verdict": drill.verdict,
        "said": drill.said,
        "last_good": drill.last_good.isoformat(timespec="seconds") if drill.last_good else None,
        "seconds": drill.seconds,
        "evidence": list(drill.evidence),
    }


def _waiver(waiver: ShownWaiver) -> dict[str, Any]:
    return {
        "clause": waiver.clause,
        "reason": waiver.reason,
        "owner": waiver.owner,
        "until": waiver.until.isoformat(),
        "declared": waiver.declared,
        "expired": waiver.expired,
    }


def _clause(clause: ClauseResult) -> dict[str, Any]:
    return {
        "id": clause.id,
        "group": clause.group,
        "title": clause.title,
        "promise": clause.promise,
        "source": clause.source,
        "severity": clause.severity,
        "verdict": clause.verdict,
        "message": clause.message,
        "checks": [_check(check) for check in clause.checks],
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "name": check.name,
        "verdict": check.verdict,
        "guest": check.guest,
        "message": check.message,
        "seconds": round(check.seconds, 4),
        "evidence": [_fact(fact) for fact in check.evidence],
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {"source": fact.source, "asked": fact.asked, "answered": fact.answered, "at": round(fact.at, 3)}
