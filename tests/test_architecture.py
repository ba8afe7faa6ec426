"""Imports point one way: front -> surface -> composition -> adapters -> model -> base."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

BASE = {"errors", "embedded", "wait", "evidence", "tls", "silence", "interrupts", "ahead", "printing", "safe_yaml"}
MODEL = {"privileges", "inventory", "identity", "contract", "observed", "plan", "secrets", "answer"}
ADAPTERS = {"pve", "routers", "remote", "probe", "probing", "lab", "journal", "nested"}
COMPOSITION = {
    "locking",
    "head_start",
    "former",
    "core_router",
    "engine",
    "drills",
    "verify",
    "report",
    "pytest_plugin",
    "site",
    "opening",
    "preflight",
    "importing",
    "bootstrap",
    "provisioning",
    "templates",
    "instance",
    "acceptance",
}
SURFACE = {"commands", "ansible"}
FRONT = {"tasks"}
LAYERS = (BASE, MODEL, ADAPTERS, COMPOSITION, SURFACE, FRONT)


def part_of(module: str) -> str | None:
    """`harness.pve.client` belongs to the part `pve`; None for what is not ours."""
    names = module.split(".")
    return names[1] if names[0] == "harness" and len(names) > 1 else None


def layer_of(part: str) -> int:
    return next(height for height, layer in enumerate(LAYERS) if part in layer)


def source_files() -> list[Path]:
    return sorted((ROOT / "harness").rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[str]:
    """Every absolute name a file imports; `from harness import x` counts as harness.x."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ([f"{origin}.{alias.name}" for alias in node.names] if origin == "harness" else [origin])


def edges() -> list[tuple[str, str, Path]]:
    found = []
    for path in source_files():
        importer = part_of(module_of(path))
        for name in imports_of(path):
            imported = part_of(name)
            if importer and imported and importer != imported:
                found.append((importer, imported, path.relative_to(ROOT)))
    return found


def test_every_part_has_a_layer() -> None:
    known = set().union(*LAYERS)
    assert {part for path in source_files() if (part := part_of(module_of(path)))} <= known


def test_imports_point_down() -> None:
    wrong = [f"{path}: {a} imports {b}" for a, b, path in edges() if layer_of(b) > layer_of(a)]
    assert wrong == []


def test_adapters_do_not_know_one_another() -> None:
    wrong = [f"{path}: {a} imports {b}" for a, b, path in edges() if {a, b} <= ADAPTERS]
    assert wrong == []


WRITES = {"Writer", "open_writer", "open_pair", "open_router"}


def test_what_verifies_knows_nothing_that_writes() -> None:
    """Not only the client it is given: what could write is not even named there."""
    files = [*(ROOT / "harness/verify").glob("*.py"), ROOT / "harness/pytest_plugin.py", *(ROOT / "specs").glob("*.py")]
    names = {
        (path, name)
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom | ast.Name | ast.Attribute)
        for name in named_by(node)
    }
    assert len(files) > 20
    assert {(path.name, name) for path, name in names if name in WRITES} == set()


def named_by(node: ast.ImportFrom | ast.Name | ast.Attribute) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        yield from (alias.name for alias in node.names)
    else:
        yield node.id if isinstance(node, ast.Name) else node.attr


def test_only_the_pve_adapter_knows_proxmoxer() -> None:
    users = {path for path in source_files() if any(name.split(".")[0] == "proxmoxer" for name in imports_of(path))}
    assert users, "nothing imports proxmoxer: this test looks in the wrong place"
    assert all(path.is_relative_to(ROOT / "harness/pve") for path in users)


@pytest.mark.parametrize("simulator", ["harness.lab.pve", "harness.lab.router"])
def test_simulators_stand_on_the_standard_library_alone(simulator: str) -> None:
    """They run inside the lab's machines under Debian's own Python."""
    files = list((ROOT / simulator.replace(".", "/")).rglob("*.py"))
    names = {(path, name) for path in files for name in imports_of(path) if not name.startswith(f"{simulator}.")}
    foreign = {f"{path.relative_to(ROOT)}: {name}" for path, name in names if is_foreign(name, simulator)}
    assert files
    assert foreign == set()


def is_foreign(name: str, simulator: str) -> bool:
    return name != simulator and name.split(".", maxsplit=1)[0] not in sys.stdlib_module_names


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_sleep_lives_in_wait(path: Path) -> None:
    """The simulator may pause to imitate PVE's slowness; everything else waits through harness.wait."""
    allowed = path == ROOT / "harness/wait.py" or path.is_relative_to(ROOT / "harness/lab/pve")
    assert allowed or "time.sleep" not in path.read_text()


@pytest.mark.parametrize("path", source_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_module_says_its_promise(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("part", ["engine", "plan", "routers", "templates", "drills", "preflight", "report", "pve"])
def test_a_command_is_named_for_its_site(part: str) -> None:
    """Without one it would be done to the lab: Contract.invoke knows the site."""
    named = [
        f"{path.relative_to(ROOT)}:{one.lineno}"
        for path in (ROOT / "harness" / part).rglob("*.py")
        for one in ast.walk(ast.parse(path.read_text()))
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and "./invoke " in one.value
    ]
    assert named == []
