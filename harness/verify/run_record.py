"""Keep what a run has found so far, and make the report of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from harness.contract import Contract
from harness.drills.catalogue import DRILLS, Drill
from harness.drills.standing import standing
from harness.errors import HarnessError
from harness.report.model import Check, ClauseResult, Report, ShownChain, ShownDrill, Verdict
from harness.verify.clauses import WHOLE, Clauses
from harness.verify.judge import judge_clause, judge_run, show_waivers
from harness.verify.looks import Looks
from harness.verify.outcome import PASSED, Outcome, graver
from harness.verify.picture import Picture, declared_guests
from harness.verify.selection import Spec


@dataclass
class RunRecord:
    """The state of one run of the specs."""

    contract: Contract
    clauses: Clauses
    chosen: frozenset[str]
    guest: str | None
    whole: bool  # all specs beside the clauses were collected, so a clause without one is really unasserted
    looks: Looks = field(default_factory=Looks)
    profile: str = WHOLE
    asserted: Counter[str] = field(default_factory=Counter)  # how many checks each clause has, chosen or not
    specs: dict[str, Spec] = field(default_factory=dict)
    checks: dict[str, list[Check]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    selection: str = ""  # what the user limited the run to
    follow_chains: Callable[[], tuple[ShownChain, ...]] = lambda: ()
    draw: Callable[[], Picture | None] = lambda: None
    count_trips: Callable[[], tuple[int, int]] = lambda: (0, 0)  # API calls, SSH trips
    list_retries: Callable[[], tuple[str, ...]] = lambda: ()
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.monotonic)
    _outcome: Outcome = PASSED
    _check_started: float = 0.0

    def start_check(self) -> None:
        self.looks.start_check()
        self._outcome, self._check_started = PASSED, time.monotonic()

    def add_phase(self, outcome: Outcome) -> None:
        self._outcome = graver(self._outcome, outcome)

    def end_check(self, nodeid: str) -> None:
        """Close the check that is running."""
        spec = self.specs[nodeid]
        check = Check(
            name=spec.item.name,
            verdict=self._outcome.verdict,
            guest=spec.guest,
            message=self._outcome.message,
            evidence=self.looks.used(),
            seconds=time.monotonic() - self._check_started,
        )
        self.checks.setdefault(spec.clause, []).append(check)

    def report(self) -> Report:
        """Everything found, judged."""
        shown = self._shown()
        results = tuple(self._judge(clause_id) for clause_id in self.clauses.by_id if clause_id in shown)
        problems = (*self.problems, *self._missing())
        api_calls, ssh_trips = self.count_trips()
        contract, picture = self.contract, self.draw()
        return Report(
            site=contract.site,
            verdict=judge_run(results, problems),
            clauses=results,
            groups=self.clauses.groups,
            waivers=show_waivers(contract.waivers, self.today),
            guests=picture.guests if picture else declared_guests(contract),
            hypervisor=contract.hypervisor.fqdn,
            api_calls=api_calls,
            ssh_trips=ssh_trips,
            seconds=time.monotonic() - self.started,
            started_at=self.started_at,
            problems=problems,
            chains=self.follow_chains(),
            drills=self._drills(shown),
            retries=self.list_retries(),
            network=picture.network if picture else None,
            selection=self.selection,
            profile=self.profile,
        )

    @property
    def left(self) -> int:
        """How many checks did not run."""
        return len(self.specs) - sum(map(len, self.checks.values()))

    @property
    def today(self) -> date:
        return self.started_at.astimezone().date()

    def _shown(self) -> frozenset[str]:
        """A chosen clause is left out only when its specs exist and the user's selection let none of them in."""
        selected = {spec.clause for spec in self.specs.values()}
        return frozenset(
            clause for clause in self.chosen if clause in selected or (clause not in self.asserted and self.whole)
        )

    def _judge(self, clause_id: str) -> ClauseResult:
        waiver = next((waiver for waiver in self.contract.waivers if waiver.clause == clause_id), None)
        return judge_clause(
            self.clauses.by_id[clause_id],
            self.checks.get(clause_id, []),
            waiver=waiver,
            asserted=clause_id in self.asserted,
            complete=len(self.checks.get(clause_id, [])) == self.asserted[clause_id],
            today=self.today,
        )

    def _drills(self, shown: Set[str]) -> tuple[ShownDrill, ...]:
        """Those whose promise is shown; a record that cannot be read is the clause's own trouble."""
        asked = [one for one in DRILLS.values() if one.clause in shown]
        return tuple(drill for one in asked if (drill := _shown_drill(self.contract, one, self.started_at)))

    def _missing(self) -> tuple[str, ...]:
        """Problems that follow from what did not happen."""
        if not self.specs:
            return ("Nothing was checked: no spec was selected. Choose other clauses, or fewer conditions.",)
        left = self.left
        return (f"The run ended early: {left} of {len(self.specs)} checks did not run.",) if left else ()


def _shown_drill(contract: Contract, drill: Drill, now: datetime) -> ShownDrill | None:
    verdicts: dict[str, Verdict] = {"good": "pass", "bad": "fail", "never": "unasserted"}
    try:
        found = standing(contract, drill, now)
    except HarnessError:
        return None
    verdict = verdicts[found.verdict]
    return ShownDrill(found.drill, found.clause, verdict, found.said, found.last_good, found.seconds, found.evidence)
