"""Bad input: one sentence, and a site no worse than before."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Set
from dataclasses import replace

import pytest

from harness.contract import Guest
from harness.engine.events import Event
from harness.errors import Refused, Unreachable, Unsafe, Untrusted
from harness.evidence import Secret
from harness.pve.client import connect
from tests import sites
from tests.engine.world import World, assert_all_made, assert_refused, only_error, read_tasks, seed
from tests.simulators import SECRETS


def test_a_foreign_vm_on_a_declared_vmid_stops_everything(world: World) -> None:
    seed(world, vms=[{"vmid": 131, "config": {"name": "win11", "memory": "512"}}])
    assert_refused(world, Unsafe, r"VMID 131 declared for logs-vm01 is taken by a foreign VM \(win11")


def test_a_foreign_vm_the_token_cannot_see_stops_everything_too(world: World) -> None:
    seed(world, vms=[{"vmid": 131, "config": {"name": "win11", "memory": "512"}}])
    assert_refused(world, Unsafe, "the VMID 131 is in use by something this tool did not make", reader=None)


def test_a_declared_name_on_another_vmid(world: World) -> None:
    seed(world, vms=[{"vmid": 555, "config": {"name": "logs-vm01", "memory": "512"}}])
    assert_refused(world, Unsafe, "a VM named logs-vm01 exists with the VMID 555 instead of 131")


def test_a_missing_template(world: World) -> None:
    template = replace(sites.TEMPLATE, name="fedora-server-43-1.6", vmid=None)
    hypervisor = replace(world.contract.hypervisor, templates={"debian": template})
    contract = replace(world.contract, hypervisor=hypervisor)
    assert_refused(world, Unsafe, "there is no template fedora-server-43-1.6", contract=contract)


def test_a_template_that_is_none(world: World) -> None:
    world.simulated.control(op="edit-config", vmid=9000, set={}, delete=["template"])
    assert_refused(world, Unsafe, "VM 9000 is named debian-lab-12 but is not a template")


def test_a_full_storage(world: World) -> None:
    world.simulated.control(op="fill-storage", storage="local-lvm", available_bytes=0)
    assert_refused(world, Unsafe, "the storage local-lvm has 0.0 GiB free.*it is full")


def test_a_wrong_token(world: World) -> None:
    client = world.simulated.writer("00000000-0000-4000-8000-00000000dead")
    error = assert_refused(world, Refused, "401 invalid token value!", client=client)
    assert "provision.token" in error.do


def test_a_wrong_fingerprint(world: World) -> None:
    api = replace(world.simulated.api(), fingerprint="AB" * 32)
    client = connect(api, purpose="verify", secret=Secret(SECRETS["verify"]), read_only=True)
    assert_refused(world, Untrusted, "which is not the pinned one", reader=client)


def test_a_missing_privilege_is_found_before_the_first_change(world: World) -> None:
    world.simulated.root().put(
        "/access/acl",
        {
            "path": "/",
            "roles": "MgmtStartup",
            "users": "provision@pve",
            "tokens": "provision@pve!harness",
            "delete": True,
        },
    )
    assert_refused(world, Refused, "the token lacks Sys.Modify on /; nothing was changed")


def test_every_missing_privilege_is_named_at_once(world: World) -> None:
    privileges = "VM.Allocate,VM.Audit,VM.Clone,VM.Config.CPU,VM.Config.Memory,VM.Config.Options,Pool.Audit"
    world.simulated.root().put("/access/roles/MgmtProvision", {"privs": privileges})
    assert_refused(world, Refused, r"lacks VM\.Config\.Network on /pool/mgmt; VM\.PowerMgmt on /pool/mgmt")


def test_a_token_that_sees_nothing_is_not_an_empty_site(world: World) -> None:
    world.simulated.root().put(
        "/access/acl", {"path": "/", "roles": "MgmtAudit", "tokens": "verify@pve!harness", "delete": True}
    )
    with pytest.raises(Refused, match=r"verify@pve!harness lacks VM\.Audit on /vms"):
        world.provision()
    assert read_tasks(world) == []


def test_an_unreachable_hypervisor(world: World) -> None:
    os.kill(world.simulated.process.pid, signal.SIGTERM)
    world.simulated.process.wait(10)
    with pytest.raises(Unreachable, match="nobody answers there"):
        world.provision()


def test_an_address_that_already_answers_costs_only_that_guest(world: World) -> None:
    world.wire.strangers = ("198.18.99.31",)
    done = world.provision()
    assert "something already has its address: 198.18.99.31 answers ping; nothing was made" in str(only_error(done))
    assert world.vmids() == [130, 132, 9000]
    world.wire.strangers = ()
    assert_all_made(world.provision())
    assert world.plan_is_empty()


def test_a_guest_whose_address_answers_late_is_made_and_not_started(world: World) -> None:
    looks, cloned = world.wire.looks(), threading.Event()

    def late(guest: Guest) -> str | None:
        assert guest.name != "logs-vm01" or cloned.wait(10)
        return "198.18.99.31 answers ping" if guest.name == "logs-vm01" else None

    def tell(event: Event) -> None:
        if (event.guest, event.step, event.state) == ("logs-vm01", "start", "begin"):
            cloned.set()

    done = world.provision(looks=replace(looks, answers=late), report=tell)
    assert "something already has its address: 198.18.99.31 answers ping; it was not started" in str(only_error(done))
    assert [world.config(vmid)["status"] for vmid in (130, 131, 132)] == ["running", "stopped", "running"]
    assert_all_made(world.provision())
    assert read_tasks(world).count("qmclone") == 3
    assert world.plan_is_empty()


def test_a_guest_without_its_reservation_stops_everything(world: World) -> None:
    def ready(guests: Set[str]) -> None:
        assert guests == {"metrics-vm01", "logs-vm01", "alerting-vm01"}
        raise Unsafe(tried="provision", on="lab", happened="no reservation; nothing was created", do="apply it")

    assert_refused(world, Unsafe, "no reservation", ready=ready)


def test_a_lock_of_a_dead_run_is_no_lock(world: World) -> None:
    world.contract.state_dir.mkdir(parents=True, exist_ok=True)
    (world.contract.state_dir / "provision.lock").write_text('{"pid": 1, "since": "2026-01-01"}')
    assert_all_made(world.provision(only={"metrics-vm01"}))
