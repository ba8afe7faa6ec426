"""The whole path from the installer on: it ends green, is repeatable, and says of guests in any state what is so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import lab
from tests.faults.bench import open_bench
from tests.faults.fault import CRASHED
from tests.faults.states import STATES, State, verdicts_of
from tests.faults.ways import together
from tests.site.driver import ROOT, Site, provisioned

pytestmark = pytest.mark.lab

PATH = (("lab.up",), ("bootstrap",), ("provision",))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Made as a user makes it, without a short cut."""
    with provisioned(tmp_path_factory.mktemp("state"), *PATH) as made:
        yield made


def failed(result: dict[str, Any]) -> set[str]:
    return {clause["id"] for clause in result["clauses"] if clause["verdict"] == "fail"}


def test_verify_is_green(site: Site) -> None:
    status, result = site.verify()
    assert status == 0, [clause for clause in result["clauses"] if clause["verdict"] in {"fail", "unknown"}]
    assert result["verdict"] == "pass"
    assert {clause["verdict"] for clause in result["clauses"]} <= {"pass", "waived", "unasserted"}


def test_passes_carry_their_evidence(site: Site) -> None:
    _, result = site.verify()
    without = [
        (clause["id"], check["name"])
        for clause in result["clauses"]
        for check in clause["checks"]
        if check["verdict"] == "pass" and not check["evidence"]
    ]
    assert without == []


def test_a_second_bootstrap_leaves_the_provisioned_host_alone(site: Site) -> None:
    ended = site.invoke("bootstrap")
    assert ended.status == 0, ended.said
    assert "nothing changed" in ended.out


def test_a_second_provision_makes_no_write_call(site: Site) -> None:
    lab.control({"op": "reset-counters"})
    ended = site.invoke("provision")
    assert ended.status == 0, ended.said
    assert "0 changes" in ended.said
    assert lab.control({"op": "counters"})["result"]["writes"] == 0


@dataclass(frozen=True)
class Seen:
    """What verify said, and its result."""

    status: int
    said: str
    result: dict[str, Any]


@pytest.fixture(scope="module")
def in_all_states(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """One run while each of six guests is in a state of its own; all is well again afterwards."""
    bench = open_bench(ROOT / "inventory", tmp_path_factory.mktemp("bench"))
    file = site.state / "states.json"
    with together(*(state.seed for state in STATES))(bench):
        ended = site.invoke("verify", f"--json={file}")
    yield Seen(ended.status, ended.said, json.loads(file.read_text()))
    status, result = site.verify()
    assert status == 0, failed(result)


@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_guest_in_any_state_has_its_right_verdict(in_all_states: Seen, state: State) -> None:
    assert verdicts_of(state.guest, in_all_states.result) == state.verdicts


def test_the_other_guests_have_theirs(in_all_states: Seen) -> None:
    guests = {check["guest"] for clause in in_all_states.result["clauses"] for check in clause["checks"]} - {None}
    others = guests - {state.guest for state in STATES}
    assert len(others) == 4
    assert {name: found for name in others if (found := verdicts_of(name, in_all_states.result))} == {}


def test_no_state_of_a_guest_is_a_reason_to_crash(in_all_states: Seen) -> None:
    messages = [check["message"] for clause in in_all_states.result["clauses"] for check in clause["checks"]]
    assert [word for word in CRASHED if any(word in text for text in (in_all_states.said, *messages))] == []
    assert in_all_states.result["problems"] == []
    assert in_all_states.status == 2  # what could not be looked at is no verdict


def test_the_inventory_may_live_elsewhere(site: Site, tmp_path: Path) -> None:
    """All a site needs is its folder: nothing of the checkout's inventory is read."""
    shutil.copytree(ROOT / "inventory/lab", tmp_path / "lab")
    planned = site.invoke("plan", f"--inventory={tmp_path}", "--site=lab", "--json")
    assert planned.status == 0, planned.said
    assert json.loads(planned.out)["changes"] == []
    status, result = site.verify(f"--inventory={tmp_path}", "--site=lab", "--clause=identity")
    assert status == 0, failed(result)


def test_another_sites_vms_are_refused(site: Site, tmp_path: Path) -> None:
    """Two sites that claim the same VMIDs on one hypervisor: the notes tell whose they are."""
    shutil.copytree(ROOT / "inventory/lab", tmp_path / "other")
    ended = site.invoke("provision", f"--inventory={tmp_path}", "--site=other")
    assert ended.status == 2
    assert "metrics-vm01 of site lab" in ended.said
    assert "nothing was changed" in ended.said
