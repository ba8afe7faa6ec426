"""Provision against the simulated hypervisor: made once as declared, and nothing else touched."""

from __future__ import annotations

import json

import pytest

from harness.errors import Invalid
from harness.locking import site_lock
from harness.remote import known_hosts
from tests.engine.world import World, assert_all_made
from tests.wires import key_of


def test_makes_every_guest_as_declared(world: World) -> None:
    done = world.provision()
    assert_all_made(done)
    assert [result.outcome for result in done.results] == ["created"] * 3
    config = world.config(130)
    assert config["net0"] == "virtio=02:de:99:01:01:00,bridge=vmbr0"
    assert (config["memory"], config["cores"], config["onboot"], config["protection"]) == ("1024", 2, 1, 1)
    assert config["startup"] == "order=10,up=15"
    assert config["tags"] == "mgmt-harness;observability"
    assert config["name"] == "metrics-vm01"
    assert config["status"] == "running"
    line = "mgmt-harness: site=lab guest=metrics-vm01 template=debian-lab-12 build=lab-image-1 mode=linked"
    assert config["description"].rstrip() == line
    assert world.plan_is_empty()


def test_a_second_run_writes_nothing(world: World) -> None:
    world.provision()
    world.simulated.control(op="reset-counters")
    again = world.provision()
    assert again.results == ()
    assert again.plan.empty
    assert world.simulated.writes() == 0
    assert not any(call.startswith(("POST", "PUT", "DELETE")) for call in world.simulated.calls())


def test_a_second_run_asks_for_each_thing_once_and_holds_nobody_off(world: World) -> None:
    world.provision()
    world.simulated.control(op="reset-counters")
    with site_lock(world.contract.state_dir, "lab"):
        assert world.provision().plan.empty
    calls = world.simulated.calls()
    assert calls.pop("GET /nodes/{node}/qemu/{vmid}/config") == 4  # three guests and the template
    assert set(calls.values()) == {1}
    assert len(calls) <= 6


def test_each_guest_has_its_own_pinned_key(world: World) -> None:
    done = world.provision()
    for guest, result in zip(world.contract.guests, done.results, strict=True):
        pinned = known_hosts.look_up([world.wire.learned], guest.name)
        assert pinned == {key_of(guest.name)}
        assert result.host_keys == (str(key_of(guest.name)),)
        assert result.identity_by == "ssh"
    assert len({result.machine_id for result in done.results}) == 3


def test_the_result_tells_how_each_guest_was_made(world: World) -> None:
    (result, *_) = world.provision().results
    assert result.mode == "linked clone of debian-lab-12 (9000): local-lvm (lvmthin) makes linked clones"
    assert [upid.split(":")[5] for upid in result.upids] == ["qmclone", "qmstart"]
    assert list(result.seconds) == ["clone", "configure", "start", "reach", "identity", "finish"]
    assert result.seen["address"] == "198.18.99.30"
    steps = [
        (event.step, event.state) for event in world.events if event.guest == "metrics-vm01" and event.state == "done"
    ]
    assert [step for step, _ in steps] == list(result.seconds)


def test_the_journal_stands_before_each_request(world: World) -> None:
    world.provision(only={"metrics-vm01"})
    lines = (world.contract.state_dir / "journal" / "metrics-vm01.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == ["clone", "clone-upid", "cloned", "configure", "start", "identity", "configure", "done"]


def test_only_the_named_guests_are_made(world: World) -> None:
    assert [result.guest for result in world.provision(only={"logs-vm01"}).results] == ["logs-vm01"]
    assert world.vmids() == [131, 9000]


def test_an_unknown_guest_is_told_the_known_ones(world: World) -> None:
    with pytest.raises(Invalid, match="metrics-vm01, logs-vm01, alerting-vm01"):
        world.provision(only={"nosuch"})


def test_without_a_reader_the_pools_token_will_do(world: World) -> None:
    assert_all_made(world.provision(reader=None))
    assert world.provision(reader=None).plan.empty


def test_a_differing_vm_is_reported_and_left_alone(world: World) -> None:
    world.provision()
    world.simulated.control(op="edit-config", vmid=131, set={"memory": "4096"}, delete=["protection"])
    world.simulated.control(op="reset-counters")
    differences = [str(difference) for difference in world.provision().plan.differences]
    assert differences == [
        "logs-vm01: memory_mib should be 1024, is 4096",
        "logs-vm01: protection should be on, is off",
    ]
    assert world.simulated.writes() == 0
