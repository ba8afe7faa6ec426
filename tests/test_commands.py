"""Whatever tells the user to run ./invoke names a command that exists, and options that it has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks

ROOT = Path(__file__).parent.parent
# Where a sentence is for one site, `contract.invoke("...")` puts `./invoke` before it.
NAMED = re.compile(r"(?:\./invoke +|\.invoke\(f?[\"'])(?!-)([a-z.]+[a-z])")
# What is typed behind it, up to where the sentence goes on.
TYPED = re.compile(rf"{NAMED.pattern}([^`\"\n,;|#()]*)")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def texts() -> Iterator[Path]:
    yield ROOT / "README.md"
    for folder, pattern in (("docs", "*.md"), ("harness", "*.py"), ("specs", "*.py"), ("inventory", "*.yml")):
        yield from sorted((ROOT / folder).rglob(pattern))


@pytest.mark.parametrize("path", list(texts()), ids=lambda path: str(path.relative_to(ROOT)))
def test_it_names_only_commands_that_exist(path: Path) -> None:
    assert set(NAMED.findall(path.read_text())) <= set(tasks.namespace.task_names)


@pytest.mark.parametrize("path", list(texts()), ids=lambda path: str(path.relative_to(ROOT)))
def test_it_names_only_options_that_the_command_has(path: Path) -> None:
    assert {(name, option) for name, option in typed(path) if option not in options_of(name)} == set()


def typed(path: Path) -> Iterator[tuple[str, str]]:
    for name, rest in TYPED.findall(path.read_text()):
        yield from ((name, option) for option in OPTION.findall(rest))


def options_of(command: str) -> set[str]:
    names = {name for argument in tasks.namespace[command].get_arguments() for name in argument.names}
    return {f"--{name}" if len(name) > 1 else f"-{name}" for name in names}


def test_commands_and_options_are_named_at_all() -> None:
    """The patterns above find what they are for."""
    named = {name for path in texts() for name in NAMED.findall(path.read_text())}
    assert {"demo", "provision", "verify", "inventory.check", "lab.up"} <= named
    options = {pair for path in texts() for pair in typed(path)}
    assert {("bootstrap", "--rotate-tokens"), ("restore", "--remove"), ("verify", "--html")} <= options
