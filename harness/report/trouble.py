"""Gather what a run found wrong, each sentence once, the gravest first: pure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.model import ClauseResult, Report, Verdict

GRAVITY = {"critical": 0, "major": 1, "minor": 2}


@dataclass(frozen=True)
class Trouble:
    """Clauses that say the same, and what they say: one guest that is gone says it to every check that asks for it."""

    clauses: tuple[ClauseResult, ...]
    sentences: tuple[str, ...]

    @property
    def severity(self) -> str:
        """Of the gravest clause."""
        return min((clause.severity for clause in self.clauses), key=lambda one: GRAVITY.get(one, len(GRAVITY)))


def troubles(report: Report, verdict: Verdict) -> tuple[Trouble, ...]:
    """The sentences with `verdict`, in the order of the clauses."""
    concerned: dict[str, dict[str, None]] = {}  # sentence -> clauses, both in their order
    for clause in report.clauses:
        if clause.verdict == "waived":
            continue
        for check in clause.checks:
            if check.verdict == verdict:
                concerned.setdefault(check.message, {})[clause.id] = None
        # The clause's own, such as an ended waiver.
        if clause.verdict == verdict and not any(clause.message.startswith(said) for said in concerned):
            concerned.setdefault(clause.message, {})[clause.id] = None
    by_clauses: dict[tuple[str, ...], list[str]] = {}
    for sentence, ids in concerned.items():
        by_clauses.setdefault(tuple(ids), []).append(sentence)
    known = {clause.id: clause for clause in report.clauses}
    return tuple(Trouble(tuple(known[one] for one in ids), tuple(said)) for ids, said in by_clauses.items())


def gravest_first(found: tuple[Trouble, ...]) -> tuple[Trouble, ...]:
    return tuple(sorted(found, key=lambda one: GRAVITY.get(one.severity, len(GRAVITY))))
