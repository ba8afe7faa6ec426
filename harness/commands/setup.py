"""What this machine can run, and bringing the Debian packages it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from rich.console import Console

from harness import lab
from harness.commands.front import front
from harness.errors import Missing
from harness.printing import console

FORBID = "HARNESS_NO_INSTALL"


@front
def doctor() -> int:
    """Say what is here and what is missing; 2 when the lab cannot run."""
    out = console()
    out.print(f"Python {sys.version.split()[0]}: {sys.executable}", markup=False)
    lacks = lab.missing_requirements()
    out.print("The embedded lab can run here." if not lacks else "The embedded lab cannot run here:")
    for lack in lacks:
        out.print(f"  {lack.what}. {lack.do}.", markup=False)
    out.print("Specs, plan and provision need nothing more than this environment and the ssh program.")
    return 2 if lacks else 0


def install_missing_or_say() -> None:
    """Before the tests: without these packages the tests that need the lab are skipped, and say so."""
    out = console()
    try:
        install_missing(out)
    except Missing as error:
        out.print(str(error), style="yellow", markup=False)


def install_missing(out: Console, packages: list[str] | None = None, whose: str = "the lab needs") -> None:
    """Install the Debian packages the lab lacks, or those named, when we may; what is still missing its user says."""
    packages = lab.missing_packages() if packages is None else packages
    may = os.geteuid() == 0 and shutil.which("apt-get") is not None and not os.environ.get(FORBID)
    if not packages or not may:
        return
    out.print(f"Installing Debian packages {whose}: {' '.join(packages)} ({FORBID}=1 forbids it)", markup=False)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Missing(
                tried=f"install {' '.join(packages)}",
                on="this machine",
                happened=f"`{' '.join(command)}` ended with {ended.returncode}: {_last_line(ended.stderr)}",
                do="Mend apt, then run the same command again",
            )


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
