"""The simulator answers as a real PVE 8.4.1 node was recorded to answer; what differs is listed with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.pve.replay import Judgement, Replay
from tests.lab.pve.scenarios import SCENARIOS
from tests.lab.pve.served import ROOT

RECORDINGS = ROOT.parent / "shared/pve-8.4/recordings"
DEVIATIONS = Path(__file__).parent / "deviations.yml"
PACE = 0.05

pytestmark = [
    pytest.mark.recordings,
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"the recorded exchanges are not at {RECORDINGS}"),
]


def _reviewed() -> dict[tuple[str, int], Mapping[str, Any]]:
    """(recording, exchange) -> why the simulator differs there; `sometimes` where the machine decides."""
    entries: list[Mapping[str, Any]] = yaml.safe_load(DEVIATIONS.read_text(encoding="utf-8"))
    return {(entry["recording"], number): entry for entry in entries for number in entry["exchanges"]}


@pytest.mark.parametrize("name", SCENARIOS)
def test_answers_like_the_recorded_node(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status, reason, words, keys and types of every call the harness makes; each exception has its reason."""
    scenario = SCENARIOS[name]
    node = scenario.node(tmp_path, PACE)
    try:
        judged = {file: _replayed(node, file) for file in scenario.files}
    finally:
        node.stop()
    reviewed = _reviewed()
    problems: list[str] = []
    for file, judgements in judged.items():
        with capsys.disabled():
            print(_agreement(file, judgements))
        for one in judgements:
            if one.is_harness:
                problems += _unexplained(file, one, reviewed)
    assert not problems, "\n".join(problems)


def _replayed(node: Any, file: str) -> list[Judgement]:
    scenario = next(entry for entry in SCENARIOS.values() if file in entry.files)
    before, first = scenario.before.get(file, {}), scenario.first.get(file, 1)
    return Replay(node, RECORDINGS / f"{file}.json", before=before, first=first).run()


def _unexplained(file: str, one: Judgement, reviewed: Mapping[tuple[str, int], Mapping[str, Any]]) -> list[str]:
    """A difference without a reason, or a reason without a difference."""
    entry = reviewed.get((file, one.n))
    differs = bool(one.wrong) or one.skipped is not None
    if differs and entry is None:
        return [f"{file} {one.n} {one.call}: {one.skipped or '; '.join(one.wrong)}"]
    unused = entry is not None and not differs and not entry.get("sometimes")
    return [f"{file} {one.n} agrees: remove it from {DEVIATIONS.name}"] if unused else []


def _agreement(file: str, judgements: list[Judgement]) -> str:
    own = [one for one in judgements if one.is_harness]
    agreeing = [one for one in own if not one.wrong and one.skipped is None]
    other = [one for one in judgements if not one.is_harness and one.skipped is None]
    fine = [one for one in other if not one.wrong]
    text = f"\n{file}: {len(agreeing)} of {len(own)} exchanges agree"
    return text + (f"; of calls the harness does not make {len(fine)} of {len(other)}" if other else "")


def test_every_reviewed_deviation_names_a_judged_exchange() -> None:
    files = {file for scenario in SCENARIOS.values() for file in scenario.files}
    assert {recording for recording, _ in _reviewed()} <= files
