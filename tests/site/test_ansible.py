"""Both doors lead to one site: each goes on where the other left off, and neither disturbs the other."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import lab
from harness.wait import wait_until
from tests.door.loop import NAMES
from tests.door.playing import ROOT, Played, argv, environment, play, read
from tests.site.administrator import destroy, vmids
from tests.site.driver import Site

pytestmark = pytest.mark.lab

FOLDER = ROOT / "inventory/lab"
ONE, VMID = "jump-vm01", 138
ALL = set(NAMES)
REFUSED = r"another run is at work \(.*?{pid}.*?since 20\d\d-\d\d-\d\d"


@dataclass(frozen=True)
class Step:
    """A run of the playbook with what it cost the hypervisor, and which VMs were there afterwards."""

    played: Played
    writes: int
    vmids: set[int]


@dataclass(frozen=True)
class Meeting:
    """A run by one door, and what the other door said while it was at work."""

    status: int
    said: str
    seconds: float
    pid: int
    command_line: str  # of the process that had the lock
    other_status: int
    other_said: str


def step(site: Site, *arguments: str) -> Step:
    lab.control({"op": "reset-counters"})
    played = play(FOLDER, site.state, *arguments)
    return Step(played, int(lab.control({"op": "counters"})["result"]["writes"]), vmids() - {9000})


def meet(site: Site, first: list[str], other: Callable[[], tuple[int, str]]) -> Meeting:
    lock = site.state / "lab/provision.lock"

    def holder() -> tuple[int | None, str]:
        text = lock.read_text() if lock.exists() else ""
        return (int(json.loads(text)["pid"]) if text.endswith("}") else None), text

    began = time.monotonic()
    with subprocess.Popen(
        first,
        cwd=ROOT,
        env=environment(site.state),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        pid = wait_until(holder, deadline_s=30, first_pause_s=0.05, longest_pause_s=0.05).value
        assert pid is not None, running.communicate()
        command_line = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        status, said = other()
        out, _ = running.communicate(timeout=120)
    return Meeting(running.returncode, out, time.monotonic() - began, pid, command_line, status, said)


@pytest.fixture(scope="module")
def checked(bare: Site) -> Step:
    return step(bare, "--check", "--diff")


@pytest.fixture(scope="module")
def killed(bare: Site, checked: Step) -> int:
    """The status of a playbook that was killed while it made one VM."""
    journal = bare.state / f"lab/journal/{ONE}.jsonl"

    def begun() -> tuple[bool | None, str]:
        text = journal.read_text() if journal.exists() else ""
        return '"clone-upid"' in text or None, text

    with subprocess.Popen(argv(FOLDER, f"--limit={ONE}"), cwd=ROOT, env=environment(bare.state)) as running:
        waited = wait_until(begun, deadline_s=30, first_pause_s=0.05, longest_pause_s=0.05)
        running.kill()
    assert waited.value, waited.last_seen
    return running.returncode


@pytest.fixture(scope="module")
def limited(bare: Site, killed: int) -> Step:
    return step(bare, "-v", "--diff", f"--limit={ONE}")


@pytest.fixture(scope="module")
def playbook_first(bare: Site, limited: Step) -> Meeting:
    """The playbook makes all the others, and `invoke provision` comes meanwhile."""

    def invoke() -> tuple[int, str]:
        ended = bare.invoke("provision")
        return ended.status, ended.said

    return meet(bare, argv(FOLDER, "-v"), invoke)


@pytest.fixture(scope="module")
def again(bare: Site, playbook_first: Meeting) -> Step:
    return step(bare, "--diff")


@pytest.fixture(scope="module")
def invoke_first(bare: Site, again: Step) -> Meeting:
    """`invoke provision` makes one again that somebody has removed, and the playbook comes meanwhile."""
    destroy(VMID)
    # Otherwise it would have ended before Ansible is there.
    lab.control({"op": "fault", "kind": "task-stall", "task": "qmclone", "times": 1, "seconds": 15})

    def ansible() -> tuple[int, str]:
        played = play(FOLDER, bare.state)
        return played.status, played.said

    return meet(bare, [str(ROOT / "invoke"), "provision"], ansible)


def test_check_shows_the_plan_and_writes_nothing(checked: Step) -> None:
    assert checked.played.status == 0, checked.played.said
    assert checked.played.of_all("changed") == dict.fromkeys(ALL, 1)
    assert "+net0: virtio=02:de:99:03:09:01,bridge=vmbr0" in checked.played.diff_of(ONE)
    assert (checked.writes, checked.vmids) == (0, set())


def test_limit_makes_that_one_alone(limited: Step) -> None:
    assert limited.played.status == 0, limited.played.said
    assert limited.played.counts.keys() == {ONE}
    assert limited.played.of_all("changed") == {ONE: 1}
    assert limited.vmids == {VMID}


def test_a_killed_run_is_finished_by_the_next(killed: int, limited: Step) -> None:
    assert killed == -signal.SIGKILL
    assert limited.played.results[ONE]["outcome"] == "finished"
    assert "-state: " in limited.played.diff_of(ONE)


def test_the_playbook_makes_all_that_is_missing(playbook_first: Meeting) -> None:
    played = read(playbook_first.status, playbook_first.said)
    assert played.status == 0, played.said
    assert played.of_all("changed") == dict.fromkeys(ALL - {ONE}, 1)
    assert {played.results[name]["outcome"] for name in ALL - {ONE}} == {"created"}
    assert re.search(r"\[ +\d+\.\d s\] logs-vm01: clone done", played.said), "-v tells each step as it happens"


def test_they_are_made_side_by_side(playbook_first: Meeting) -> None:
    results = read(playbook_first.status, playbook_first.said).results
    one_after_another = sum(sum(result.get("seconds", {}).values()) for result in results.values())
    assert one_after_another > 2 * playbook_first.seconds


def test_invoke_is_refused_while_the_playbook_is_at_work(playbook_first: Meeting) -> None:
    assert "ansible-playbook" in playbook_first.command_line
    assert playbook_first.other_status == 2
    assert re.search(REFUSED.format(pid=playbook_first.pid), playbook_first.other_said)


def test_a_second_run_changes_nothing(again: Step) -> None:
    assert again.played.status == 0, again.played.said
    assert again.played.of_all("ok") == dict.fromkeys(ALL, 1)
    assert again.played.of_all("changed") == {}
    assert again.writes == 0


def test_what_it_made_keeps_every_promise(bare: Site, again: Step) -> None:
    status, result = bare.verify()
    assert status == 0, [clause for clause in result["clauses"] if clause["verdict"] in {"fail", "unknown"}]


def test_the_playbook_is_refused_while_invoke_is_at_work(invoke_first: Meeting) -> None:
    assert invoke_first.status == 0, invoke_first.said
    assert "1 change," in invoke_first.said
    assert invoke_first.other_status == 2
    other = read(invoke_first.other_status, invoke_first.other_said)
    assert other.of_all("failed") == dict.fromkeys(ALL, 1)
    (said,) = other.sentences
    assert re.search(REFUSED.format(pid=invoke_first.pid), said)


def test_after_both_there_is_nothing_left_to_do(bare: Site, invoke_first: Meeting) -> None:
    last = step(bare)
    assert last.played.of_all("changed") == {}
    assert last.writes == 0
    assert "0 changes, 0 write calls" in bare.invoke("provision").said
