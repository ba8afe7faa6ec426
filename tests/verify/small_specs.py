"""A small folder of specs and the little contract they are about."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from harness.report.model import Report
from tests import sites

HEAD = """\
import pytest
from harness.errors import Refused, Unreachable
from harness.verify.expect import Pending

def away(kind=Unreachable):
    return kind(tried="log in", on="metrics-vm01", happened="no route", do="Start it")
"""
CLAUSES = """\
groups: {network: Network, recovery: Recovery}
clauses:
  - {id: network.dns, group: network, title: Names, promise: P, evidence: [net], source: VS, severity: major}
  - {id: network.address, group: network, title: Addresses, promise: P, evidence: [net], source: VS, severity: major}
  - {id: recovery.protected, group: recovery, title: Kept, promise: P, evidence: [api], source: VS, severity: minor}
"""
PROFILES = """\
profiles:
  names: {title: Names alone, clauses: [network.dns]}
  rebuilding: {title: While the core router is away, authority: bootstrap, without: [network]}
"""
CONTRACT = sites.contract(sites.guest(), sites.guest("logs-vm01", 1))

NUMBERS = itertools.count()

Run = Callable[..., "Ended"]


class Ended:
    """A finished run: its status, what it printed, and its report where one was made."""

    def __init__(self, report: Report | None, out: str, err: str) -> None:
        self.report, self.out, self.err = report, out, err
        self.status = 2 if report is None else report.exit_status

    def verdicts(self) -> dict[str, str]:
        assert self.report is not None, self.err
        return {clause.id: clause.verdict for clause in self.report.clauses}

    def selections(self) -> str:
        assert self.report is not None, self.err
        return self.report.selection

    def messages(self, clause: str) -> list[str]:
        assert self.report is not None, self.err
        return [check.message for one in self.report.clauses if one.id == clause for check in one.checks]


def clauses_of(text: str) -> str:
    """Those that the specs name; all of them where none is named."""
    head, *entries = CLAUSES.splitlines(keepends=True)
    first, *each = entries
    named = [entry for entry in each if (entry.partition("id: ")[2].partition(",")[0]) in text]
    return "".join([head, first, *(named or each)])


PASSES = """
@pytest.mark.clause("network.dns")
def test_resolves(): pass
"""
