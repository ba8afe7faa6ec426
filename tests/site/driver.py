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
from tests import front_door
from tests.front_door import ROOT, Ended

__all__ = ["ROOT", "Ended", "Site", "provisioned", "require_lab"]


@dataclass(frozen=True)
class Site:
    """The lab, and the commands a user has for it."""

    state: Path

    def invoke(self, *arguments: str, **environment: str) -> Ended:
        own = {"MGMT_HARNESS_STATE": str(self.state), "COLUMNS": "200", **environment}
        return front_door.invoke(arguments, {**os.environ, **own}, limit_s=600)

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
