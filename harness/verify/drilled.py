"""Hold a promise against its last drill: that it was good, and not too long ago."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.contract import Contract
from harness.drills.catalogue import DRILLS
from harness.drills.standing import standing
from harness.evidence import Fact
from harness.verify.expect import Expect, NotShown


@dataclass(frozen=True)
class Drilled:
    """The drills of one site as they were recorded."""

    contract: Contract
    note: Callable[[Fact], None]
    expect: Expect

    def shows(self, drill: str) -> None:
        """NotShown when it never ran to its end, broken when the last one failed or the last good one is too old."""
        __tracebackhide__ = True
        found = standing(self.contract, DRILLS[drill])
        at = found.last_good.timestamp() if found.last_good else time.time()
        self.note(Fact("drill", f"the last drill {drill}", "\n".join((found.said, *found.evidence)), at))
        if found.verdict == "never":
            raise NotShown(f"{found.said}. Next: {self.expect.command(found.do)}")
        days = self.contract.drill_max_age_days
        wanted = f"a good one in the last {days} days"
        self.expect.that(
            found.verdict == "good", f"drill {drill}", found.said, wanted, at=self.contract.hypervisor, do=found.do
        )
