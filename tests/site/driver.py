"""Drive the lab through ./invoke, as a user would."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import lab

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ended:
    """How a command ended; `said` is standard output and standard error."""

    status: int
    out: str
    said: str


@dataclass(frozen=True)
class Site:
    """The lab, and the commands a user has for it."""

    state: Path

    def invoke(self, *arguments: str, **environment: str) -> Ended:
        ended = subprocess.run(
            [ROOT / "invoke", *arguments],
            env={**os.environ, "MGMT_HARNESS_STATE": str(self.state), "COLUMNS": "200", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        return Ended(ended.returncode, ended.stdout, ended.stdout + ended.stderr)

    def verify(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """The exit status of `verify`, and its result."""
        target = self.state / "verify.json"
        target.unlink(missing_ok=True)
        ended = self.invoke("verify", f"--json={target}", *arguments)
        assert target.exists(), ended.said
        return ended.status, json.loads(target.read_text())

    def run(self, host: str, command: str) -> str:
        """Run a command on a host of the lab."""
        ended = subprocess.run(
            [*lab.ssh_command(host), command], capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode == 0, f"{host}: {command}: {ended.stderr}"
        return ended.stdout


@contextmanager
def provisioned(state: Path, *commands: tuple[str, ...]) -> Iterator[Site]:
    """A site those commands lead to, from nothing; gone afterwards."""
    require_lab()
    made = Site(state)
    for command in (("lab.down",), *commands):
        ended = made.invoke(*command)
        assert ended.status == 0, ended.said
    yield made
    assert made.invoke("lab.down").status == 0


def require_lab() -> None:
    lacks = lab.missing_requirements()
    if lacks:
        pytest.skip("the lab cannot run here: " + "; ".join(f"{lack.what} ({lack.do})" for lack in lacks))
