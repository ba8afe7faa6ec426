"""The journal knows a clone in flight, and survives being cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Refused
from harness.journal import Journal
from harness.observed import BegunClone

UPID = "UPID:hv01:000023C5:000AC603:6B027B3E:qmclone:9000:provision@pve!harness:"


def test_a_clone_asked_for_is_begun_until_it_has_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    assert journal.begun() == {}
    journal.write("metrics-vm01", 130, "clone", template=9000)
    assert journal.begun() == {130: BegunClone("metrics-vm01", 130, None)}
    journal.write("metrics-vm01", 130, "clone-upid", upid=UPID)
    assert journal.begun() == {130: BegunClone("metrics-vm01", 130, UPID)}
    journal.write("metrics-vm01", 130, "cloned")
    assert journal.begun() == {}


@pytest.mark.parametrize("end", ["cloned", "clone-failed", "done"])
def test_each_end_ends_it_and_a_new_clone_begins_anew(tmp_path: Path, end: str) -> None:
    journal = Journal(tmp_path)
    for step in ("clone", end, "configure", "clone"):
        journal.write("metrics-vm01", 130, step)
    assert list(journal.begun()) == [130]


def test_a_line_cut_off_by_a_crash_costs_only_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("metrics-vm01", 130, "clone")
    with (tmp_path / "metrics-vm01.jsonl").open("a") as file:
        file.write('{"at": 1, "guest": "metrics-vm01", "vm')
    assert list(journal.begun()) == [130]
    journal.write("metrics-vm01", 130, "cloned")
    assert journal.begun() == {}


def test_guests_do_not_mix(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("metrics-vm01", 130, "clone")
    journal.write("logs-vm01", 131, "clone")
    journal.write("logs-vm01", 131, "cloned")
    assert list(journal.begun()) == [130]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file where the folder should be")
    with pytest.raises(Refused, match="MGMT_HARNESS_STATE"):
        Journal(tmp_path / "journal").write("metrics-vm01", 130, "clone")
