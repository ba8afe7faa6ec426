"""Every tool is measured at the same facts: those that the others can look at at all."""

from __future__ import annotations

import ast
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.floor import last_backups
from benchmarks.floor_plan import plan_of
from benchmarks.others import ASSERT, ansible_tasks, as_list, count_asserts
from harness.contract import Contract
from harness.inventory import load, resolve
from harness.verify.clauses import load_clauses

ROOT = Path(__file__).parent.parent.parent
MARK = re.compile(r"^\s*# clause ([\w.-]+): ([\w, ]+)$", re.M)
# `| clause | facts | of them by the others | what they leave out, and why |`
ROW = re.compile(r"^\| `([\w.-]+)` \| (\d+) \| (\d+) \|(.*)\|$", re.M)
TOOLS = {
    "Ansible": sorted((ROOT / "benchmarks/ansible").glob("verify_*.yml")),
    "testinfra": sorted((ROOT / "benchmarks/testinfra_specs").glob("test_*.py")),
    "serverspec": sorted((ROOT / "benchmarks/serverspec").glob("*_spec.rb")),
}
Fact = tuple[str, str]  # clause, name of the spec


def our_facts() -> set[Fact]:
    return {fact for file in (ROOT / "specs").glob("test_*.py") for fact in _specs(ast.parse(file.read_text()))}


def _specs(module: ast.Module) -> Iterator[Fact]:
    for function in module.body:
        for mark in getattr(function, "decorator_list", ()):
            if isinstance(function, ast.FunctionDef) and ast.unparse(mark).startswith("pytest.mark.clause("):
                yield ast.literal_eval(mark.args[0]), function.name.removeprefix("test_")


def facts_of(tool: str) -> set[Fact]:
    marks = [mark for file in TOOLS[tool] for mark in MARK.findall(file.read_text())]
    return {(clause, name) for clause, names in marks for name in names.split(", ")}


def told() -> dict[str, tuple[int, int, set[str]]]:
    """What the docs say of each clause: our facts, those of the others, and the names of what they leave out."""
    rows = ROW.findall((ROOT / "docs/benchmarks.md").read_text())
    return {clause: (int(ours), int(theirs), set(re.findall("`(\\w+)`", why))) for clause, ours, theirs, why in rows}


def left_out() -> set[Fact]:
    return {(clause, name) for clause, (_, _, names) in told().items() for name in names}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_asserts_the_same_facts_but_for_those_listed(tool: str) -> None:
    assert facts_of(tool) == our_facts() - left_out()


def test_docs_list_every_clause_with_its_facts() -> None:
    assert list(told()) == list(load_clauses(ROOT / "specs/clauses.yml").by_id)
    ours, spared = Counter(clause for clause, _ in our_facts()), Counter(clause for clause, _ in left_out())
    counted = {clause: (said, theirs) for clause, (said, theirs, _) in told().items()}
    assert counted == {clause: (number, number - spared[clause]) for clause, number in ours.items()}
    assert left_out() <= our_facts()


def test_ansibles_conditions_are_counted_each_for_every_host_and_item() -> None:
    names = [task["name"] for task in ansible_tasks() if ASSERT in task]
    assert len(set(names)) == len(names)
    ok, waived = (f'    "msg": "{said}"\n' for said in ("All assertions passed", "Assertion failed"))
    one, three, other = f"TASK [{_task_with(1)}] ***\n", f"TASK [{_task_with(3)}] ***\n", "TASK [Gather facts] ***\n"
    assert count_asserts(f"{one}{ok}{waived}{other}{three}{ok}{ok}") == 2 * 1 + 2 * 3


def _task_with(count: int) -> str:
    """The name of a task with that many conditions."""
    asserts = (task for task in ansible_tasks() if ASSERT in task)
    return str(next(task["name"] for task in asserts if len(as_list(task[ASSERT]["that"])) == count))


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
