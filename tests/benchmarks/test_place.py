"""A site that is not the lab is only looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.contenders import PROVISIONING, Bench, left_out
from benchmarks.others import Files
from benchmarks.place import Place
from benchmarks.turns import Failed
from tests import sites


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(replace(sites.contract(sites.guest()), site="dvntm"), tmp_path, tmp_path)


def test_its_vms_are_never_cleared_away(place: Place) -> None:
    place.state.mkdir()
    with pytest.raises(Failed, match="dvntm is not the lab: its VMs are not ours to delete"):
        place.clear()
    assert place.state.exists()


def test_nobody_provisions_there(place: Place, tmp_path: Path) -> None:
    bench = Bench(place, tmp_path / "plan.json", Files(tmp_path, tmp_path, tmp_path))
    assert left_out(bench, frozenset()).keys() >= set(PROVISIONING)
    assert left_out(bench, frozenset({"provision"})).keys() == {"provision"}
