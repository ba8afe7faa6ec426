"""Hold something on a host for as long as a run lasts; however the run ends, its end of the line closes and lets go."""

from __future__ import annotations

import os
import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import errors
from harness.remote.config import CONNECT_TIMEOUT_S, Login
from harness.remote.ssh import connections, judge_failure

ANSWER_LIMIT_S = 10.0
GOODBYE_S = 5.0


@contextmanager
def holding(login: Login, command: str) -> Iterator[str]:
    """The first line that `command` says; it has to end when its standard input does."""
    with connections([login]) as opened:
        handle, log_name = tempfile.mkstemp(prefix="log-", dir=opened.directory)
        os.close(handle)
        # A session of its own: Ctrl-C is the run's to hear, and it lets go only at its end.
        process = subprocess.Popen(
            ["ssh", "-T", "-F", str(opened.config_file), "-E", log_name, login.name, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        try:
            yield _first_line(process, login, Path(log_name))
        finally:
            let_go(process)


def let_go(process: subprocess.Popen[str]) -> None:
    """Close its input and wait for its end."""
    assert process.stdin is not None  # noqa: S101 - it was asked for
    assert process.stdout is not None  # noqa: S101
    process.stdin.close()
    try:
        process.wait(GOODBYE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _first_line(process: subprocess.Popen[str], login: Login, log: Path) -> str:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    ready, _, _ = select.select([process.stdout], [], [], CONNECT_TIMEOUT_S + ANSWER_LIMIT_S)
    line = process.stdout.readline() if ready else ""
    if line:
        return line.rstrip("\n")
    if ready:
        raise judge_failure(login, log.read_text(errors="replace"))
    raise errors.Unreachable(
        tried="hold a lock over SSH",
        on=login.name,
        happened="no answer came in time",
        do="Look whether the host still runs and its network answers",
    )
