"""Print the mutation score of the seeded faults: how many were found, and which clauses they are about."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

FAULT, SPECS = "seeded fault", "specs that were red"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Below the results, whether the faults ran here or on a worker."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.getreports(kind) if one.when == "call"]
    seeded = {name: report.passed for report in reports for name in _values(report, FAULT)}
    if not seeded:
        return
    found = sum(seeded.values())
    write = terminalreporter.write_line
    terminalreporter.write_sep("=", "seeded faults")
    clauses = Counter(clause for name in seeded for clause in name.partition(":")[0].split(", "))
    score = f"{found} of {len(seeded)} found by exactly their clauses ({100 * found / len(seeded):.4g} %)"
    write(f"mutation score: {score}, {len(clauses)} clauses")
    for report in reports:
        for specs in _values(report, SPECS):
            write(f"specs that were red at least once: {specs}")
    for name in sorted(name for name, was_found in seeded.items() if not was_found):
        write(f"not found, or not alone: {name}")


def _values(report: pytest.TestReport, wanted: str) -> list[str]:
    return [str(value) for name, value in report.user_properties if name == wanted]
