"""Whether this machine and this checkout are fit."""

from __future__ import annotations

import subprocess
import sys

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import ROOT, end_with


@task
def doctor(_: Context) -> None:
    """Say what this machine can and cannot run, and the command that fixes it."""
    from harness.commands.setup import doctor as run

    end_with(run())


@task(help={"pytest": "more arguments for pytest, as one string"})
def test(_: Context, pytest: str = "") -> None:
    """All tests of the harness, on three labs side by side; those that `--pytest` chooses, one after another."""
    import shlex

    from harness.commands.setup import install_missing_or_say

    install_missing_or_say()
    end_with(_run("-m", "pytest", *shlex.split(pytest)) if pytest else _run("-m", "tests.side_by_side"))


@task
def lint(_: Context) -> None:
    """Format, lint and types."""
    for command in (("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy",)):
        end_with(_run("-m", *command))


@task(lint, test)
def check(_: Context) -> None:
    """The gate: format, lint, types and all tests."""


def _run(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode
