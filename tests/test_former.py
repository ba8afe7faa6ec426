"""What is remembered of a machine ends with it where this tool makes the machine, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.contract import Contract
from harness.drills.record import read_record, write_record
from harness.errors import Refused
from harness.former import forget_former
from harness.journal import journal_of
from harness.opening import CHECKOUT, open_contract
from tests.sites import CUT_OFF


@pytest.fixture
def remembering(request: pytest.FixtureRequest, tmp_path: Path) -> Contract:
    """A site of this checkout's inventory, with a drill that was cut off and a rebuild that was."""
    contract = replace(open_contract(CHECKOUT / "inventory", request.param), state_dir=tmp_path)
    write_record(tmp_path, CUT_OFF)
    journal_of(contract).write("metrics-vm01", 130, "rebuild")
    (tmp_path / "known_hosts").touch()
    return contract


@pytest.mark.parametrize("remembering", ["lab", "nested"], indirect=True)
def test_a_new_machine_has_no_past(remembering: Contract) -> None:
    for _ in range(2):  # the second time there is nothing to forget
        forget_former(remembering)
        assert read_record(remembering.state_dir, "reboot") is None
        assert not journal_of(remembering).apart()
        assert (remembering.state_dir / "known_hosts").exists()


@pytest.mark.parametrize("remembering", ["dvnt", "dvntm"], indirect=True)
def test_a_machine_that_stands_elsewhere_keeps_its_past(remembering: Contract) -> None:
    forget_former(remembering)
    assert read_record(remembering.state_dir, "reboot") == CUT_OFF
    assert list(journal_of(remembering).apart()) == [130]


def test_what_cannot_be_forgotten_is_named(tmp_path: Path) -> None:
    contract = open_contract(CHECKOUT / "inventory", "lab")
    (tmp_path / "drills").write_text("no folder")
    with pytest.raises(Refused, match=r"drills: .*Remove that folder"):
        forget_former(replace(contract, state_dir=tmp_path))
