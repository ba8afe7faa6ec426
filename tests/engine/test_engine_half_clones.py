"""What a dead clone leaves behind: cleared away with the proof that it is ours, else explained and left."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.errors import Unsafe
from tests.engine.world import World, assert_all_made, assert_refused, only_error, read_tasks, seed

HALF = {"lock": "clone", "description": " qmclone temporary file"}
UPID = "UPID:hv01:000023C5:000AC603:6B027B3E:qmclone:9000:provision@pve!harness:"
BY_HAND = "`qm unlock 130 && qm destroy 130 --destroy-unreferenced-disks 1`"


def as_root(world: World) -> None:
    world.wire.pvesh = world.simulated.folder / "state" / "pvesh.sock"


def begun(world: World, upid: str | None = UPID, guest: str = "metrics-vm01") -> None:
    """A journal that ends with a clone of 130."""
    folder = world.contract.state_dir / "journal"
    folder.mkdir(parents=True)
    line = {"guest": guest, "vmid": 130, "step": "clone-upid", "upid": upid}
    (folder / f"{guest}.jsonl").write_text(json.dumps(line) + "\n")


def volumes(world: World) -> list[str]:
    listed = world.simulated.root().get("/nodes/hv01/storage/local-lvm/content")
    return sorted(entry["volid"] for entry in listed)


def kill_the_clone(world: World) -> None:
    """Leave a half clone: the run has no login as root on the node."""
    world.simulated.fault(kind="task-kill", task="qmclone", times=1)
    done = world.provision(only={"metrics-vm01"})
    assert BY_HAND in only_error(done).do
    assert "there is no login as root on the node" in str(only_error(done))


def test_a_clone_whose_worker_was_killed_is_made_again_in_the_same_run(world: World) -> None:
    as_root(world)
    world.simulated.fault(kind="task-kill", task="qmclone", times=1)
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    said = " ".join(done.results[0].retries)
    assert "its task ended with 'unexpected status'" in said
    assert "what it left was removed as root on the node" in said
    assert volumes(world) == ["local-lvm:base-9000-disk-0", "local-lvm:vm-130-disk-0"]


@pytest.mark.parametrize("sees_all", [True, False], ids=["verifier", "pool's token"])
def test_a_dead_half_of_an_earlier_run_is_cleared_away(world: World, sees_all: bool) -> None:
    kill_the_clone(world)
    as_root(world)
    assert_all_made(world.provision(reader=world.simulated.reader() if sees_all else None, only={"metrics-vm01"}))
    assert world.plan_is_empty("metrics-vm01")
    assert (read_tasks(world).count("qmclone"), read_tasks(world).count("qmdestroy")) == (2, 1)
    assert volumes(world) == ["local-lvm:base-9000-disk-0", "local-lvm:vm-130-disk-0"]


def test_its_place_in_the_backup_job_stays(world: World) -> None:
    seed(world, jobs=[{"id": "nightly", "schedule": "02:00", "storage": "local", "vmid": "130,131", "enabled": 1}])
    kill_the_clone(world)
    as_root(world)
    assert_all_made(world.provision(only={"metrics-vm01"}))
    assert world.simulated.root().get("/cluster/backup/nightly")["vmid"] == "130,131"


def test_a_clone_that_was_asked_for_without_an_answer_is_proven_by_its_task(world: World) -> None:
    kill_the_clone(world)
    journal = world.contract.state_dir / "journal" / "metrics-vm01.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines if line["step"] != "clone-upid"))
    as_root(world)
    assert_all_made(world.provision(only={"metrics-vm01"}))


def test_a_whole_clone_in_no_pool_is_put_there(world: World) -> None:
    """The power went between its configuration and the pool's: a pool's token may not even see it."""
    world.provision(only={"metrics-vm01"})
    notes = world.config(130)["description"].rstrip() + "\nmgmt-harness: unfinished"
    world.simulated.control(op="edit-config", vmid=130, set={"description": notes})
    world.simulated.root().put("/pools/mgmt", {"vms": 130, "delete": True})
    journal = world.contract.state_dir / "journal" / "metrics-vm01.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:2]))
    as_root(world)
    done = world.provision(reader=None, only={"metrics-vm01"})
    assert_all_made(done)
    assert "put into mgmt as root on the node" in done.results[0].retries[0]
    assert world.plan_is_empty("metrics-vm01")


def test_without_a_login_as_root_it_is_explained_and_left(world: World) -> None:
    seed(world, vms=[{"vmid": 130, "config": HALF}])
    begun(world)
    for reader in (world.simulated.reader(), None):
        world.simulated.control(op="reset-counters")
        done = world.provision(reader=reader, only={"metrics-vm01"})
        assert BY_HAND in only_error(done).do
        assert world.simulated.writes() == 0


def test_a_half_clone_that_is_not_ours_stops_everything(world: World) -> None:
    as_root(world)
    seed(world, vms=[{"vmid": 130, "config": HALF}])
    assert_refused(world, Unsafe, "the VMID 130 is in use by something this tool did not make on this machine")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (HALF | {"scsi0": "local-lvm:vm-130-disk-0,size=4G"}, "it is more than what PVE makes of a clone at first"),
        (HALF | {"description": "mine, alice"}, "it is more than what PVE makes of a clone at first"),
        (
            HALF | {"description": "mgmt-harness: site=dvntm guest=metrics-vm01 template=t build=b mode=linked"},
            "its notes say that it is metrics-vm01 of site dvntm",
        ),
    ],
    ids=["a disk", "a note", "another site"],
)
def test_what_is_more_than_a_half_clone_is_left(world: World, config: dict[str, Any], words: str) -> None:
    as_root(world)
    seed(world, vms=[{"vmid": 130, "config": config}])
    begun(world)
    assert_left(world, words)


def test_a_half_clone_of_a_clone_that_ended_well_is_somebody_elses(world: World) -> None:
    """Ours was made and removed by hand; what died here is another one."""
    world.provision(only={"metrics-vm01"})
    upid = world.simulated.root().get("/nodes/hv01/tasks", {"typefilter": "qmclone", "source": "all"})[0]["upid"]
    root = world.simulated.root()
    root.post("/nodes/hv01/qemu/130/status/stop")
    world.simulated.control(op="edit-config", vmid=130, set=HALF, delete=list(world.config(130)))
    journal = world.contract.state_dir / "journal" / "metrics-vm01.jsonl"
    journal.unlink()
    journal.parent.rmdir()
    begun(world, upid)
    as_root(world)
    assert_left(world, "the clone of our journal ended with 'OK'")


def test_without_a_killed_clone_of_ours_there_is_no_proof(world: World) -> None:
    as_root(world)
    seed(world, vms=[{"vmid": 130, "config": HALF}])
    begun(world, upid=None)
    assert_left(world, "the node's task list shows no clone of ours that was killed")


def assert_left(world: World, words: str) -> None:
    world.simulated.control(op="reset-counters")
    done = world.provision(only={"metrics-vm01"})
    assert words in str(only_error(done))
    assert BY_HAND in only_error(done).do
    assert world.simulated.writes() == 0
