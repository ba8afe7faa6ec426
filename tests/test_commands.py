"""Whatever tells the user to run ./invoke names a command that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"\./invoke +(?!-)([a-z.]+[a-z])")


def texts() -> Iterator[Path]:
    yield ROOT / "README.md"
    for folder, pattern in (("docs", "*.md"), ("harness", "*.py"), ("specs", "*.py"), ("inventory", "*.yml")):
        yield from sorted((ROOT / folder).rglob(pattern))


@pytest.mark.parametrize("path", list(texts()), ids=lambda path: str(path.relative_to(ROOT)))
def test_it_names_only_commands_that_exist(path: Path) -> None:
    assert set(NAMED.findall(path.read_text())) <= set(tasks.namespace.task_names)


def test_commands_are_named_at_all() -> None:
    """The pattern above finds what it is for."""
    named = {name for path in texts() for name in NAMED.findall(path.read_text())}
    assert {"demo", "provision", "verify", "inventory.check", "lab.up"} <= named
