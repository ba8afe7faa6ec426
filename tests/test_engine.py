"""Provision against the simulated hypervisor: made once, finished after any end, and nothing else touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Contract
from harness.engine import Event, Limits, Provisioned, make_plan, provision, site_lock
from harness.errors import HarnessError, Invalid, Refused, TaskFailed, TimedOut, Unreachable, Unsafe, Untrusted
from harness.evidence import Secret
from harness.pve import read
from harness.pve.client import connect
from harness.remote import known_hosts
from tests import sites
from tests.pve.served import make_certificate
from tests.simulators import ROOT, SECRETS, Simulated, simulating
from tests.wires import Wire, key_of

METRICS, LOGS, ALERTING = (sites.guest(f"{name}-vm01", at) for at, name in enumerate(("metrics", "logs", "alerting")))
QUICK = Limits(agent_grace_s=0.0)


@dataclass
class World:
    """One simulated site and the wire its guests are on."""

    simulated: Simulated
    contract: Contract
    wire: Wire
    events: list[Event]

    def provision(self, **changes: Any) -> Provisioned:
        arguments: dict[str, Any] = {"looks": self.wire.looks(), "report": self.events.append, "limits": QUICK}
        client = changes.pop("client", None) or self.simulated.writer()
        contract = changes.pop("contract", self.contract)
        return provision(contract, client, **(arguments | {"reader": self.simulated.reader()} | changes))

    def config(self, vmid: int) -> dict[str, Any]:
        vm = read.read_guest(self.simulated.reader(), "hv01", vmid)
        assert vm is not None
        return dict(vm.config) | {"status": vm.status}

    def vmids(self) -> list[int]:
        return [vm.vmid for vm in read.read_guests(self.simulated.reader(), "hv01")]

    def plan_is_empty(self, *guests: str) -> bool:
        return make_plan(self.contract, self.simulated.reader(), set(guests) or None).empty


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def world(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[World]:
    with simulating(tmp_path, *certificate) as simulated:
        yield world_of(simulated)


def world_of(simulated: Simulated) -> World:
    contract = simulated.contract(METRICS, LOGS, ALERTING)
    wire = Wire(simulated.folder / "identities", simulated.reader(), contract.state_dir / "known_hosts")
    return World(simulated, contract, wire, [])


def only_error(done: Provisioned) -> HarnessError:
    (failed,) = done.failed
    assert failed.error is not None
    return failed.error


def assert_all_made(done: Provisioned) -> None:
    assert [(result.guest, str(result.error)) for result in done.failed] == []


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
    assert steps == ["clone", "clone-upid", "cloned", "configure", "start", "configure", "done"]


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


# --- Bad input: one sentence, and a site no worse than before ---------------------------------------------------------


def assert_refused(world: World, kind: type[HarnessError], words: str, **changes: Any) -> HarnessError:
    """Refused with these words, and not one write on the hypervisor."""
    before = world.vmids()
    world.simulated.control(op="reset-counters")
    with pytest.raises(kind, match=words) as caught:
        world.provision(**changes)
    assert world.simulated.writes() == 0
    assert world.vmids() == before
    assert caught.value.do
    return caught.value


def seed(world: World, **extra: Any) -> None:
    world.simulated.control(op="seed", seed=extra, directory=str(world.simulated.folder))


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


def test_two_runs_at_once(world: World) -> None:
    with site_lock(world.contract.state_dir, "lab"):
        assert_refused(world, Unsafe, rf"another run is at work \(process {os.getpid()}, since 20")
    assert_all_made(world.provision())


def test_a_lock_of_a_dead_run_is_no_lock(world: World) -> None:
    world.contract.state_dir.mkdir(parents=True, exist_ok=True)
    (world.contract.state_dir / "provision.lock").write_text('{"pid": 1, "since": "2026-01-01"}')
    assert_all_made(world.provision(only={"metrics-vm01"}))


# --- Half-way ---------------------------------------------------------------------------------------------------------


def test_a_guest_without_a_lease_is_named_by_its_broken_link(world: World) -> None:
    world.contract = replace(world.contract, guest_deadline_s=2.0)
    world.wire.leaseless = ("logs-vm01",)
    done = world.provision()
    error = only_error(done)
    assert isinstance(error, TimedOut)
    assert "the chain breaks at agent" in str(error)
    assert "lease: none for this MAC" in str(error)
    assert "no route to host" in str(error)
    world.wire.leaseless = ()
    (result,) = world.provision().results
    assert (result.guest, result.outcome) == ("logs-vm01", "finished")
    assert world.plan_is_empty()


def test_a_guest_whose_sshd_is_silent_fails_in_time_and_is_finished_later(world: World) -> None:
    world.contract = replace(world.contract, guest_deadline_s=1.5)
    world.wire.deaf = ("metrics-vm01",)
    done = world.provision()
    assert isinstance(only_error(done), TimedOut)
    assert len(done.results) - len(done.failed) == 2
    world.wire.deaf = ()
    assert_all_made(world.provision())
    assert world.plan_is_empty()


def test_a_vm_that_dies_is_not_waited_for(world: World) -> None:
    world.wire.deaf = ("metrics-vm01",)
    began = threading.Event()

    def kill_it(event: Event) -> None:
        if event.step == "reach" and event.state == "begin" and not began.is_set():
            began.set()
            world.simulated.root().post("/nodes/hv01/qemu/130/status/stop")

    done = world.provision(report=kill_it, only={"metrics-vm01"})
    error = only_error(done)
    assert "it is stopped again" in str(error)
    assert done.seconds < 15


@pytest.mark.parametrize(
    ("task", "words"),
    [("qmclone", "clone failed: no space left"), ("qmstart", "start failed: QEMU exited with code 1")],
)
def test_a_failed_task_is_told_and_the_next_run_goes_on(world: World, task: str, words: str) -> None:
    world.simulated.fault(kind="task-fail", task=task, times=1, text=words)
    done = world.provision()
    error = only_error(done)
    assert isinstance(error, TaskFailed)
    assert words in str(error)
    assert error.upid in str(error)
    assert len(done.results) == 3
    assert_all_made(world.provision())
    assert world.plan_is_empty()


WRITES = ["/clone$", "/config$", "/status/start$"]


@pytest.mark.parametrize("path", WRITES, ids=["clone", "config", "start"])
@pytest.mark.parametrize("kind", ["drop-after", "drop-before", "596"])
def test_a_lost_answer_to_a_write_is_found_out_not_repeated(world: World, path: str, kind: str) -> None:
    method = "PUT" if path == "/config$" else "POST"
    world.simulated.fault(method=method, path=path, times=1, kind=kind)
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert done.results[0].retries
    tasks = read_tasks(world)
    assert (tasks.count("qmclone"), tasks.count("qmstart")) == (1, 1)
    assert world.plan_is_empty("metrics-vm01")


def read_tasks(world: World) -> list[str]:
    entries = world.simulated.root().get("/nodes/hv01/tasks", {"source": "all", "limit": 500})
    return [entry["type"] for entry in entries]


@pytest.mark.parametrize("kind", ["drop-before", "596"])
def test_lost_reads_cost_nothing_but_another_read(world: World, kind: str) -> None:
    world.simulated.fault(method="GET", path="/tasks/.*/status$", times=2, kind=kind)
    world.simulated.fault(method="GET", path="/config$", times=2, kind=kind)
    assert_all_made(world.provision())


def test_a_locked_configuration_is_waited_for(world: World) -> None:
    world.simulated.fault(
        method="PUT",
        path="/config$",
        times=2,
        kind="status",
        status=500,
        reason="can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout",
    )
    done = world.provision(only={"metrics-vm01"})
    assert_all_made(done)
    assert "got timeout" in done.results[0].retries[0]


def test_a_changed_configuration_is_read_again(world: World) -> None:
    reason = "checksum mismatch (file change by other user?)"
    world.simulated.fault(method="PUT", path="/config$", times=1, kind="status", status=500, reason=reason)
    assert_all_made(world.provision(only={"metrics-vm01"}))


def test_a_stalled_clone_is_waited_for(world: World) -> None:
    world.simulated.fault(kind="task-stall", task="qmclone", times=1, seconds=2)
    assert_all_made(world.provision())


def test_the_mac_is_proven_before_the_first_start(world: World) -> None:
    """A hypervisor that says OK and keeps another MAC gets no chance to start the guest with it."""
    world.simulated.fault(method="PUT", path="/config$", times=-1, kind="status", status=200, reason="OK")
    done = world.provision(only={"metrics-vm01"})
    assert "PVE keeps other values than it was given for" in str(only_error(done))
    assert "net0" in str(only_error(done))
    assert "qmstart" not in read_tasks(world)


def test_a_dead_half_clone_of_ours_is_explained_and_left(world: World) -> None:
    half = {"lock": "clone", "description": " qmclone temporary file"}
    seed(world, vms=[{"vmid": 130, "config": half}])
    state = world.contract.state_dir / "journal"
    state.mkdir(parents=True)
    upid = "UPID:hv01:000023C5:000AC603:6B027B3E:qmclone:9000:provision@pve!harness:"
    line = {"guest": "metrics-vm01", "vmid": 130, "step": "clone-upid", "upid": upid}
    (state / "metrics-vm01.jsonl").write_text(json.dumps(line) + "\n")
    for reader in (world.simulated.reader(), None):
        world.simulated.control(op="reset-counters")
        done = world.provision(reader=reader, only={"metrics-vm01"})
        assert "`qm unlock 130 && qm destroy 130 --purge`" in only_error(done).do
        assert world.simulated.writes() == 0


def test_a_half_clone_that_is_not_ours_stops_everything(world: World) -> None:
    seed(world, vms=[{"vmid": 130, "config": {"lock": "clone", "description": " qmclone temporary file"}}])
    assert_refused(world, Unsafe, "the VMID 130 is in use by something this tool did not make on this machine")


# --- Ended at any moment ----------------------------------------------------------------------------------------------


def run_apart(world: World) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.engine_run", str(world.simulated.folder), world.simulated.url]
    argv += [world.simulated.fingerprint]
    return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"the run ended without {words!r}")


MOMENTS = ["clone begin", "clone done", "configure done", "start begin", "reach begin", "identity done"]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_a_run_ended_at_any_moment_is_finished_by_the_next(world: World, moment: str, blow: signal.Signals) -> None:
    world.simulated.fault(kind="task-stall", task="qmclone", times=1, seconds=1)
    process = run_apart(world)
    until(process, moment)
    process.send_signal(blow)
    said, _ = process.communicate(timeout=15)
    assert process.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL), said
    assert_all_made(world.provision())
    assert world.plan_is_empty()
    tasks = read_tasks(world)
    assert (tasks.count("qmclone"), tasks.count("qmdestroy")) == (3, 0)
    assert [world.config(vmid)["status"] for vmid in (130, 131, 132)] == ["running"] * 3


def test_ctrl_c_says_how_it_goes_on(world: World) -> None:
    world.wire.deaf = ("metrics-vm01",)
    process = run_apart(world)
    until(process, "reach begin")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=15)
    assert "stopping; the next run goes on from here" in said
    assert "Traceback" not in said
