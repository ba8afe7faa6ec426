"""Run a program of the machine and turn its failure into the user's sentence."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError

ON = "this machine"


def run(argv: Sequence[str], *, tried: str, do: str, cgroup: Path | None = None, given: str = "") -> str:
    """The output of `argv`, which ends with us: left behind, it would still write into the next lab.

    With `cgroup` it and all its children run there, so a later `down` finds them.

    `given` is what it reads: the place for a secret, which must not stand among the arguments.
    """
    inside = ("sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", str(cgroup)) if cgroup else ()
    whole = ["setpriv", "--pdeathsig", "KILL", *inside, *argv]
    done = subprocess.run(whole, input=given, capture_output=True, text=True, check=False, env=environment())
    if done.returncode != 0:
        raise HarnessError(tried=tried, on=ON, happened=f"{argv[0]} said: {last_lines(done.stderr)}", do=do)
    return done.stdout


def environment() -> dict[str, str]:
    """This process's own, with the folders of system programs: `su` leaves them out of root's PATH."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"}


def last_lines(text: str, count: int = 3) -> str:
    """The end of a program's complaint on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "nothing"
