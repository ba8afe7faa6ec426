"""Our own specs: every clause has one or is known to have none yet, and each spec is a promise in a few lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from harness.verify.clauses import load_clauses

SPECS = Path(__file__).parent.parent.parent / "specs"
CLAUSES = load_clauses(SPECS / "clauses.yml")


def specs() -> list[tuple[str, ast.FunctionDef]]:
    found = []
    for file in sorted(SPECS.glob("test_*.py")):
        functions = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef))
        found += [(file.name, function) for function in functions if function.name.startswith("test_")]
    return found


def clause_of(spec: ast.FunctionDef) -> str:
    mark = spec.decorator_list[0]
    assert isinstance(mark, ast.Call)
    assert isinstance(mark.args[0], ast.Constant)
    return str(mark.args[0].value)


def test_every_clause_has_a_spec_and_every_spec_a_clause() -> None:
    assert {clause_of(spec) for _, spec in specs()} == set(CLAUSES.by_id)


def test_every_clause_is_in_a_listed_group() -> None:
    assert {clause.group for clause in CLAUSES.by_id.values()} == set(CLAUSES.groups)


@pytest.mark.parametrize(("file", "spec"), specs(), ids=[spec.name for _, spec in specs()])
def test_a_spec_is_short_and_stands_in_the_file_of_its_group(file: str, spec: ast.FunctionDef) -> None:
    assert len(spec.body) <= 3
    assert CLAUSES.by_id[clause_of(spec)].group == file.removeprefix("test_").removesuffix(".py")


def test_names_of_specs_are_unique() -> None:
    names = [spec.name for _, spec in specs()]
    assert sorted(set(names)) == sorted(names)


def test_specs_type_no_expected_value_again() -> None:
    """Addresses, versions and names of machines stand in an inventory and nowhere else."""
    constants = [
        (file, node.value)
        for file, spec in specs()
        for node in ast.walk(spec)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    typed = [
        (file, text)
        for file, text in constants
        if any(word in text for word in ("8.4", "198.18", "10.20.", "vm01", "hv0"))
    ]
    assert constants
    assert typed == []
