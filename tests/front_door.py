"""Run a command as ./invoke does, in a process of its own that need not import everything first.

A fork of a process that holds all commands' modules and has run none of them: the same arguments, environment, standard
streams and exit status as ./invoke, without half a second of imports each time. ./invoke itself: tests/test_invoke.py.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from invoke.main import program

from harness import commands

ROOT = Path(__file__).parent.parent

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True)
class Ended:
    """How a command ended; `said` is standard output and standard error."""

    status: int
    out: str
    said: str


def invoke(arguments: Sequence[str], environment: Mapping[str, str], *, limit_s: float) -> Ended:
    """`./invoke` with those arguments, with nothing to read."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *_modules()])  # heeded when the first one starts
    with tempfile.TemporaryDirectory(prefix="mgmt-front-door-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        running = context.Process(
            target=_run, args=(list(arguments), dict(environment), str(Path.cwd()), str(out), str(err))
        )
        running.start()
        running.join(limit_s)
        if running.exitcode is None:
            running.kill()
            running.join()
            raise TimeoutError(f"./invoke {' '.join(arguments)} did not end within {limit_s:g} s: {_read(out, err)}")
        return Ended(running.exitcode, _read(out), _read(out, err))


def _modules() -> list[str]:
    folder = Path(next(iter(commands.__path__)))
    return [f"harness.commands.{file.stem}" for file in sorted(folder.glob("[a-z]*.py"))]


def _read(*files: Path) -> str:
    return "".join(file.read_text(encoding="utf-8") for file in files if file.exists())


def _run(arguments: list[str], environment: dict[str, str], folder: str, out: str, err: str) -> None:
    """In the new process: what a shell would have arranged for it, then the program."""
    gc.freeze()  # nothing of what was imported is garbage: nobody needs to look at it again
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # depends on the environment
    for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, out, _WRITE), (2, err, _WRITE)):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["invoke", "--write-pyc", "--search-root", str(ROOT), *arguments]
    program.run()
