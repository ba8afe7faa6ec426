"""A template is proven on a clone of it, which is gone afterwards, and what failed keeps it from being used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine.observe import make_plan
from harness.errors import HarnessError, Invalid, TaskFailed, Unsafe
from harness.plan.fitness import parse_trial
from harness.pve.upid import parse_upid, wait_task
from harness.templates import examine, proving
from tests import sites
from tests.pve.served import make_certificate
from tests.simulators import simulating
from tests.templates.benches import MADE_NEW, BenchWorld, world_of

GUEST = sites.guest()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def world(tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchWorld]:
    monkeypatch.setattr(proving, "AFTER_SSHD_S", 0.3)
    with simulating(tmp_path, *certificate) as simulated:
        yield world_of(simulated, [GUEST])


def test_a_fit_template_passes_every_check(world: BenchWorld) -> None:
    world.identity = MADE_NEW
    done = world.examine()
    assert [str(finding) for finding in done.findings] == [
        "disk-size: the virtual disk is 4.0 GiB, at most 64 GiB is declared (max_disk_gib)",
        "agent: answers",
        "dhcp: 198.18.99.49, as reserved for 02:de:99:00:fe:01",
        "login: a_autoprov by key, root by sudo",
        "machine-id: made at the clone's first boot",
        "host-keys: made at the clone's first boot",
    ]
    assert all(finding.ok for finding in done.findings)
    assert done.unfit == ()
    assert world.asked_ready == [{"scratch-vm01"}]


def test_nothing_of_the_test_stays_but_its_result_in_the_notes(world: BenchWorld) -> None:
    before = world.notes()
    done = world.examine()
    assert world.vm(199) is None
    assert world.notes() == f"{before}\n{done.trial.render()}"
    volumes = world.simulated.root().get("/nodes/hv01/storage/local-lvm/content")
    assert [volume["volid"] for volume in volumes] == ["local-lvm:base-9000-disk-0"]


def test_what_all_clones_would_share_is_named_and_not_passed_silently(world: BenchWorld) -> None:
    done = world.examine()
    assert done.unfit == ("machine-id", "host-keys")
    refused = make_plan(world.contract, world.simulated.reader()).refusals
    assert "failed its fitness test" in refused[0].reason
    assert refused[0].reason.endswith("(machine-id, host-keys)")


def test_the_inventory_may_accept_what_is_shared(world: BenchWorld) -> None:
    world.declare(accepts={"machine-id": "provision makes them", "host-keys": "and these"})
    done = world.examine()
    assert (done.trial.failed, done.unfit) == (("machine-id", "host-keys"), ())
    assert [change.kind for change in make_plan(world.contract, world.simulated.reader()).changes] == ["create"]


@pytest.mark.parametrize(
    ("wrong", "failed", "words"),
    [
        ({"agent_answers": False}, "agent", "silent (QEMU guest agent is not running)"),
        ({"address": "198.18.99.77/24"}, "dhcp", "is 198.18.99.49, seen: 198.18.99.77/24"),
        ({"login_works": False}, "login", "a_autoprov does not get in: Permission denied (publickey)"),
        ({"sshd_answers": False}, "login", "no sshd (no route to host)"),
        ({"sshd_answers": False, "agent_runs": False}, "machine-id", "could not be looked at"),
    ],
)
def test_what_is_wrong_is_named(world: BenchWorld, wrong: dict[str, object], failed: str, words: str) -> None:
    world.identity = MADE_NEW
    for name, value in wrong.items():
        setattr(world, name, value)
    done = world.examine()
    found = {str(finding.check): finding for finding in done.findings}
    assert not found[failed].ok
    assert words in found[failed].seen
    assert failed in done.unfit
    assert world.vm(199) is None


def test_a_later_test_mends_the_judgement(world: BenchWorld) -> None:
    world.agent_answers = False
    world.identity = MADE_NEW
    assert "agent" in world.examine().unfit
    world.agent_answers = True
    assert world.examine().unfit == ()
    trial = parse_trial(world.notes())
    assert trial is not None
    assert trial.failed == ()
    assert make_plan(world.contract, world.simulated.reader()).refusals == ()


def test_a_scratch_vm_of_an_earlier_run_makes_room(world: BenchWorld) -> None:
    world.on_look = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.examine()
    assert world.vm(199) is None  # an interrupted run cleans up, too
    world.on_look = lambda: None
    clone_by_hand(world, "mgmt-harness: site=lab guest=scratch-vm01 template=debian-lab-12 build=x mode=linked")
    world.examine()
    assert world.vm(199) is None


@pytest.mark.parametrize("notes", ["", "mgmt-harness: site=dvntm guest=scratch-vm01 template=x build=x mode=linked"])
def test_a_foreign_vm_at_the_scratch_number_is_never_touched(world: BenchWorld, notes: str) -> None:
    clone_by_hand(world, notes)
    before = world.vm(199)
    with pytest.raises(Unsafe, match="no scratch VM of this site"):
        world.examine()
    assert world.vm(199) == before
    assert parse_trial(world.notes()) is None


def test_a_clone_that_cannot_be_made_leaves_no_result(world: BenchWorld) -> None:
    world.simulated.fault(kind="task-fail", task="qmclone", text="no space left on device")
    with pytest.raises(TaskFailed, match="no space left"):
        world.examine()
    assert world.vm(199) is None
    assert parse_trial(world.notes()) is None


def test_without_a_declared_scratch_vm_nothing_is_begun(world: BenchWorld) -> None:
    world.contract = replace(world.contract, scratch=None)
    with pytest.raises(Invalid, match=r"mgmt_site\.scratch_host"):
        world.examine()
    assert world.simulated.writes() == 0


def test_a_template_that_is_not_there(world: BenchWorld) -> None:
    world.declare(name="debian-lab-13", vmid=None)
    with pytest.raises(Unsafe, match="there is no template debian-lab-13"):
        world.examine()


def test_a_reservation_that_is_missing_stops_it_before_the_clone(world: BenchWorld) -> None:
    def refuse(_: object) -> None:
        raise Unsafe(tried="test", on="lab", happened="no reservation", do="./invoke router.apply")

    with pytest.raises(HarnessError, match="no reservation"):
        examine(world.bench(), world.template, ready=refuse)
    assert world.simulated.writes() == 0


def interrupt() -> None:
    raise KeyboardInterrupt


def clone_by_hand(world: BenchWorld, notes: str) -> None:
    body = {"newid": 199, "name": "somebody", "description": notes, "pool": "mgmt"}
    root = world.simulated.root()
    upid = parse_upid(root.post("/nodes/hv01/qemu/9000/clone", body))
    wait_task(root, upid, deadline_s=10, tried="clone", on="199")
