"""Many hypervisors are verified by one process, at the calls that each may cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scale


def test_hypervisors_are_verified_one_by_one_within_their_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "MANY", 2)
    monkeypatch.setattr(scale, "PROCESSES", 1)
    with scale.simulators(tmp_path):
        fleet = scale.measure(tmp_path, 2)
    assert fleet.checks > 2 * 150
    assert fleet.api_calls <= 2 * (15 + 3 * 10)
    assert fleet.memory_mib < scale.MOST_MIB
