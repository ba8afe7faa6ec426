"""Our own specs against the simulated API: each broken promise turns its own clause red and no other."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from harness.contract import BackupJob, Contract, Storage
from harness.plan import Provenance
from harness.printing import Lines
from harness.pve.backups import read_kept
from harness.pve.upid import parse_upid
from harness.report.model import Report
from harness.report.outputs import KINDS
from harness.verify import VerifyOptions
from harness.verify.run import take_report
from harness.wait import wait_until
from tests import sites
from tests.pve.served import make_certificate
from tests.simulators import Simulated, simulating

GUESTS = (sites.guest(), sites.guest("logs-vm01", 1))
BACKUP = BackupJob("nightly", "local", "02:00", {"last": 3, "daily": 7})
JOB = {
    "id": "nightly",
    "pool": "mgmt",
    "storage": "local",
    "schedule": "02:00",
    "mode": "snapshot",
    "compress": "zstd",
    "prune-backups": "keep-last=3,keep-daily=7",
    "enabled": 1,
}
STORAGES = (
    Storage("local", "dir", frozenset({"iso", "vztmpl", "backup", "import", "snippets"})),
    Storage("local-lvm", "lvmthin", frozenset({"images", "rootdir"})),
)
TENANT = IPv4Address("198.18.99.22")
# What the API alone can answer; the specs that ask hosts, guests, router and wire are left out.
SPECS = (
    "api_says or api_knows or has_no_ha or has_no_fencing or replication or pinned_certificate or storages or "
    "notes_ or would_ or terraform or configured_with or waits_for or every_vm or exceptions or fixes_no or "
    "core_router_is_no or is_on_its_bridge or tagged_with or bears_no_tenant or starts_ or is_protected or "
    "hold_what or exactly_the or users_ or tokens_have or pool_holds or "
    "backup_job or newest_backup or last_backup or left_out or turns"
)


def notes_of(number: int, template: str = "debian-lab-12") -> str:
    return Provenance("lab", GUESTS[number].name, template, "lab-image-1", "linked").render()


def config_of(number: int) -> dict[str, str]:
    guest = GUESTS[number]
    return {
        "name": guest.name,
        "tags": "mgmt-harness;observability",
        "description": notes_of(number),
        "net0": f"virtio={guest.nic.mac},bridge=vmbr0",
        "memory": str(guest.memory_mib),
        "cores": str(guest.cores),
        "onboot": "1",
        "startup": f"order={guest.start_order},up={guest.start_delay_s}",
        "protection": "1",
        "agent": "1",
        "scsihw": "virtio-scsi-pci",
        "scsi0": f"local-lvm:vm-{guest.vmid}-disk-0,size=4G",
    }


@dataclass
class World:
    """The simulator and the contract it keeps."""

    pve: Simulated
    contract: Contract

    def edit(self, **request: Any) -> None:
        self.pve.control(op="edit-config", vmid=130, **request)

    def seed(self, **seed: Any) -> None:
        self.pve.control(op="seed", seed=seed, directory=str(self.pve.folder))

    def back_up(self, vmids: str, **how: str) -> str:
        """How the task ended."""
        root = self.pve.root()
        asked = {"vmid": vmids, "storage": "local", "compress": "zstd", **how}
        upid = parse_upid(root.post("/nodes/hv01/vzdump", asked))

        def look() -> tuple[str | None, str]:
            status = root.get(f"/nodes/hv01/tasks/{upid}/status")
            return status.get("exitstatus"), str(status)

        return wait_until(look, deadline_s=20).value or "it still runs"

    def archive(self, vmid: int) -> str:
        kept = read_kept(self.pve.reader(), "hv01", "local")
        return next(one.volid for one in kept if one.vmid == vmid)

    def age(self, vmid: int, hours: float) -> None:
        made = int(time.time() - hours * 3600)
        self.pve.control(op="edit-volume", volid=self.archive(vmid), set={"ctime": made})

    def fail_a_backup(self) -> None:
        self.pve.fault(kind="task-fail", task="vzdump", text="job errors")
        assert self.back_up("130") == "job errors"

    def empty_pool(self) -> None:
        root = self.pve.root()
        root.put("/pools/mgmt", {"vms": "130,131,9000", "delete": 1})
        root.delete("/pools/mgmt")

    def verify(self, *arguments: str, **options: Any) -> Report:
        asked = VerifyOptions(inventory=self.pve.folder, pytest_args=("-k", SPECS, *arguments), **options)
        report = take_report(asked, contract=self.contract, out=Lines(io.StringIO()))
        assert report is not None
        return report

    def verdicts(self, verdict: str) -> set[str]:
        return {clause.id for clause in self.verify().clauses if clause.verdict == verdict}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def world(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[World]:
    with simulating(tmp_path, *certificate) as pve:
        (tmp_path / "verify.token").chmod(0o600)
        plain = pve.contract(*GUESTS)
        hypervisor = replace(plain.hypervisor, storages=STORAGES, backup=BACKUP)
        made = World(pve, replace(plain, hypervisor=hypervisor, tenant_hypervisor="hv02", tenant_address=TENANT))
        vms = [{"vmid": int(guest.vmid), "config": config_of(at)} for at, guest in enumerate(GUESTS)]
        made.seed(vms=vms, pools=[{"poolid": "mgmt", "vms": [130, 131, 9000]}], jobs=[JOB])
        made.back_up("130,131")
        pve.control(op="reset-counters")
        yield made


def test_a_kept_contract_is_green_and_read_with_the_audit_token_alone(world: World) -> None:
    report = world.verify()
    wrong = {clause.id: clause.message for clause in report.clauses if clause.verdict not in ("pass", "unasserted")}
    assert wrong == {}
    assert report.exit_status == 0
    assert world.pve.writes() == 0
    assert 0 < report.api_calls <= 31
    assert all(call.startswith("GET ") for call in world.pve.calls())


Breach = Callable[[World], object]

BREACHES: dict[str, tuple[str, Breach]] = {
    "another MAC": (
        "identity.mac-applied",
        lambda world: world.edit(set={"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}),
    ),
    "a second NIC": (
        "identity.mac-applied",
        lambda world: world.edit(set={"net1": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}),
    ),
    "another bridge": (
        "network.bridge",
        lambda world: world.edit(set={"net0": f"virtio={GUESTS[0].nic.mac},bridge=vmbr1"}),
    ),
    "a VLAN tag": (
        "network.bridge",
        lambda world: world.edit(set={"net0": f"virtio={GUESTS[0].nic.mac},bridge=vmbr0,tag=20"}),
    ),
    "a fixed address": ("network.address", lambda world: world.edit(set={"ipconfig0": "ip=198.18.99.77/24"})),
    "protection off": ("recovery.protected", lambda world: world.edit(delete=["protection"])),
    "no start at boot": ("recovery.autostart", lambda world: world.edit(set={"onboot": "0"})),
    "another place in the order": ("recovery.autostart", lambda world: world.edit(set={"startup": "order=99,up=15"})),
    "a second category": (
        "separation.category",
        lambda world: world.edit(set={"tags": "access;mgmt-harness;observability"}),
    ),
    "no category": ("separation.category", lambda world: world.edit(set={"tags": "mgmt-harness"})),
    "a stranger": (
        "identity.no-strangers",
        lambda world: world.seed(vms=[{"vmid": 900, "config": {"name": "stranger", "memory": "512"}}]),
    ),
    "a shared storage": (
        "storage.local-only",
        lambda world: world.seed(
            storages=[{"storage": "nas", "type": "nfs", "server": "198.18.99.9", "export": "/vm", "content": "images"}]
        ),
    ),
    "Terraform's tag": (
        "provision.no-terraform",
        lambda world: world.edit(set={"tags": "mgmt-harness;observability;terraform"}),
    ),
    "a tenant's pool": ("separation.no-tenants", lambda world: world.seed(pools=[{"poolid": "tenant-1"}])),
    "a template nobody declared": (
        "provision.from-template",
        lambda world: world.edit(set={"description": notes_of(0, "other-image-9")}),
    ),
    "a role that may do more": (
        "bootstrap.post-config",
        lambda world: world.pve.root().put("/access/roles/MgmtAudit", {"privs": "VM.PowerMgmt", "append": 1}),
    ),
    "a role that is gone": ("bootstrap.post-config", lambda world: world.pve.root().delete("/access/roles/MgmtNode")),
    "a token that is gone": (
        "bootstrap.post-config",
        lambda world: world.pve.root().delete("/access/users/provision@pve/token/harness"),
    ),
    "a user that is gone": (
        "bootstrap.post-config",
        lambda world: world.pve.root().delete("/access/users/provision@pve"),
    ),
    "a grant below everything": (
        "bootstrap.post-config",
        lambda world: world.pve.root().put(
            "/access/acl", {"path": "/vms", "roles": "PVEVMAdmin", "tokens": "provision@pve!harness"}
        ),
    ),
    "no pool": ("backup.scheduled bootstrap.post-config", lambda world: world.empty_pool()),
    "no backup job": (
        "backup.scheduled bootstrap.post-config",
        lambda world: world.pve.root().delete("/cluster/backup/nightly"),
    ),
    "a backup job that is off": (
        "backup.scheduled bootstrap.post-config",
        lambda world: world.pve.root().put("/cluster/backup/nightly", {"enabled": 0}),
    ),
    "a backup job that keeps everything": (
        "backup.scheduled bootstrap.post-config",
        lambda world: world.pve.root().put("/cluster/backup/nightly", {"prune-backups": "keep-all=1"}),
    ),
    "a second job without retention": (
        "backup.scheduled",
        lambda world: world.seed(jobs=[{**JOB, "id": "second", "prune-backups": "keep-all=1"}]),
    ),
    "a second job to a storage that is not there": (
        "backup.scheduled",
        lambda world: world.seed(jobs=[{**JOB, "id": "second", "storage": "usb"}]),
    ),
    "a disk that is left out": (
        "backup.scheduled",
        lambda world: world.edit(set={"scsi0": "local-lvm:vm-130-disk-0,backup=0,size=4G"}),
    ),
    "no backup at all": (
        "backup.recent",
        lambda world: world.pve.control(op="remove-volume", volid=world.archive(130)),
    ),
    "an old backup": ("backup.recent", lambda world: world.age(130, hours=27)),
    "a backup from the future": ("backup.recent", lambda world: world.age(130, hours=-1)),
    "a later backup that failed": ("backup.recent", lambda world: world.fail_a_backup()),
    "a storage that is off": (
        "backup.recent backup.scheduled bootstrap.post-config",
        lambda world: world.pve.root().put("/storage/local", {"disable": 1}),
    ),
    "a clone that was never finished": (
        "provision.repeatable",
        lambda world: world.edit(set={"description": f"{notes_of(0)}\nmgmt-harness: unfinished"}),
    ),
}


@pytest.mark.parametrize(("clauses", "break_it"), BREACHES.values(), ids=list(BREACHES))
def test_a_broken_promise_turns_its_own_clause_red_and_no_other(world: World, clauses: str, break_it: Breach) -> None:
    """Its own, and those that promise the same of it: a backup job that is off is not what bootstrap left, either."""
    break_it(world)
    report = world.verify()
    wrong = {one.id: one.message for one in report.clauses if one.verdict in ("fail", "unknown")}
    assert wrong.keys() == set(clauses.split()), wrong
    assert report.exit_status == 1


def test_the_sentence_says_expected_seen_where_and_next(world: World) -> None:
    world.edit(delete=["protection"])
    (clause,) = (one for one in world.verify().clauses if one.id == "recovery.protected")
    assert clause.message == (
        "protection of metrics-vm01: expected yes, seen no. Declared at inventory/lab/host_vars/x.yml:3. "
        "Next: ./invoke plan --site lab --guest metrics-vm01"
    )


def test_a_missing_vm_breaks_what_was_promised_of_it(world: World) -> None:
    world.contract = replace(world.contract, guests=(*GUESTS, sites.guest("alerting-vm01", 2)))
    broken = world.verdicts("fail")
    assert {"identity.mac-applied", "recovery.protected", "provision.repeatable"} <= broken
    assert "identity.no-strangers" not in broken


def test_a_list_without_the_privilege_to_see_it_whole_is_no_pass(world: World) -> None:
    world.seed(roles={"MgmtAudit": ["Sys.Audit", "Datastore.Audit"]})
    report = world.verify()
    unknown = {clause.id for clause in report.clauses if clause.verdict == "unknown"}
    assert {
        "identity.no-strangers",
        "recovery.protected",
        "standalone.no-replication",
        "separation.no-tenants",
    } <= unknown
    assert "storage.local-only" not in unknown
    messages = {clause.id: clause.message for clause in report.clauses}
    assert "verify@pve!harness lacks VM.Audit on /vms" in messages["identity.no-strangers"]
    assert "`pveum role modify MgmtAudit --privs VM.Audit --append 1`" in messages["identity.no-strangers"]
    assert report.exit_status == 2


@pytest.mark.parametrize(
    ("privileges", "missing", "path"),
    [
        (["Sys.Audit", "VM.Audit", "Pool.Audit", "SDN.Audit"], "Datastore.Audit", "/storage"),
        (["Datastore.Audit", "VM.Audit", "Pool.Audit", "SDN.Audit"], "Sys.Audit", "/"),
    ],
)
def test_backups_that_may_not_be_seen_are_unknown_with_the_command_that_helps(
    world: World, privileges: list[str], missing: str, path: str
) -> None:
    world.seed(roles={"MgmtAudit": privileges})
    found = {clause.id: clause for clause in world.verify(clauses=("backup",)).clauses if clause.checks}
    assert {clause.verdict for clause in found.values()} == {"unknown"}
    for clause in found.values():
        assert missing in clause.message
        assert f"`pveum role modify MgmtAudit --privs {missing} --append 1" in clause.message


def test_a_dead_api_is_unknown_and_nobody_waits_twice(world: World) -> None:
    world.pve.process.terminate()
    world.pve.process.wait(10)
    report = world.verify()
    asked = [clause for clause in report.clauses if clause.checks]
    assert {clause.verdict for clause in asked} == {"unknown"}
    assert report.exit_status == 2
    assert report.seconds < 10


def test_another_certificate_is_a_broken_promise_and_nothing_else_is_believed(world: World) -> None:
    hypervisor = world.contract.hypervisor
    other = replace(hypervisor.api, fingerprint=":".join(["AA"] * 32))
    world.contract = replace(world.contract, hypervisor=replace(hypervisor, api=other))
    report = world.verify()
    verdicts = {clause.id: clause.verdict for clause in report.clauses if clause.checks}
    assert verdicts.pop("standalone.own-web-ui") == "fail"
    assert set(verdicts.values()) == {"unknown"}
    assert report.exit_status == 2


def test_no_output_holds_the_token(world: World, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"report.{kind}" for kind in KINDS}
    world.verify(**files)
    secret = (world.pve.folder / "verify.token").read_text()
    texts = {kind: file.read_text() for kind, file in files.items()}
    assert all("GET /access/permissions" in texts[kind] for kind in ("json", "html", "junit")), "these carry evidence"
    assert not any(secret in text for text in texts.values())


def test_what_was_seen_of_the_network_goes_into_the_report(world: World) -> None:
    report = world.verify()
    network = report.network
    assert network is not None
    assert (network.hypervisor_answered, network.hypervisor_version) == (True, "8.4.1")
    assert [(bridge.name, bridge.active) for bridge in network.bridges] == [("vmbr0", None)], "no spec asked"
    assert {guest.name: guest.state for guest in report.guests} == {"metrics-vm01": "stopped", "logs-vm01": "stopped"}
