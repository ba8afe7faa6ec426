"""The cost of a hypervisor does not depend on how many others are verified in the same run."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scale


def test_each_hypervisor_costs_the_same_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "MANY", 2)
    monkeypatch.setattr(scale, "PROCESSES", 1)
    with scale.simulators(tmp_path):
        one, two = scale.measure(tmp_path, 1), scale.measure(tmp_path, 2)
    assert two.api_calls == 2 * one.api_calls
    assert two.checks == 2 * one.checks > 200
    assert two.memory_mib < scale.MOST_MIB
