"""Every tool is measured at the same promises: those that the others can look at at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks.floor import last_backups
from benchmarks.floor_plan import plan_of
from harness.contract import Contract
from harness.inventory import load, resolve
from harness.verify.clauses import load_clauses

ROOT = Path(__file__).parent.parent.parent
MARK = re.compile(r"^\s*# clause ([\w.-]+)$", re.M)
TOOLS = {
    "Ansible": [ROOT / "benchmarks/ansible/verify.yml"],
    "testinfra": sorted((ROOT / "benchmarks/testinfra_specs").glob("test_*.py")),
    "serverspec": sorted((ROOT / "benchmarks/serverspec").glob("*_spec.rb")),
}
# What no other tool has: the inventory's own rules, a plan, drills, and what the lab waives.
OURS_ALONE = {
    *("identity.mac-namespace", "separation.coverage", "provision.repeatable", "provision.no-terraform"),
    *("backup.restorable", "recovery.rebuild", "recovery.reboot", "recovery.tenant-loss", "recovery.router-alone"),
    *("platform.virtualization", "hardware.memory", "hardware.disk", "hardware.nic", "hardware.model"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_asserts_every_promise_it_can_look_at(tool: str) -> None:
    named = {clause for file in TOOLS[tool] for clause in MARK.findall(file.read_text())}
    assert named == set(load_clauses(ROOT / "specs/clauses.yml").by_id) - OURS_ALONE


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The lab's, with files where its secrets would be."""
    folder = tmp_path / "inventory"
    shutil.copytree(ROOT / "inventory/lab", folder / "lab")
    for name in ("verify.token", "provision.token", "api.fingerprint"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("AA:BB")
    for file in (folder / "lab/host_vars").glob("hv01.yml"):
        file.write_text(file.read_text().replace("/var/lib/mgmt-lab/secrets/", f"{tmp_path}/"))
    return resolve(load(folder, "lab"), state_dir=tmp_path / "state")


def test_floor_asks_each_path_once_and_each_host_once(contract: Contract, tmp_path: Path) -> None:
    plan = plan_of(contract, tmp_path / "ssh.conf", "build: lab-image-1")
    assert len(set(plan["paths"])) == len(plan["paths"])
    names = [argv[-2] for argv, _ in plan["hosts"]]
    assert sorted(names) == sorted(["hv01", "core-rt01", *(guest.name for guest in contract.guests)])


@pytest.mark.parametrize(
    ("ids", "read"),
    [(["131", "130", "131"], ["0", "1"]), (["", "130"], ["0"]), (["132", "", "130"], ["0", "1"]), ([], [])],
)
def test_floor_reads_the_log_of_each_vms_last_backup_alone(ids: list[str], read: list[str]) -> None:
    assert last_backups([{"id": vmid, "upid": str(number)} for number, vmid in enumerate(ids)]) == read
