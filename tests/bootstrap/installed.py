"""A lab with an inventory of its own, its hypervisor as the installer left it, and our commands on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from harness import lab
from harness.commands.lab import spec_of
from harness.lab import HypervisorState, machines, paths
from harness.site import open_contract
from tests import front_door
from tests.site.driver import ROOT, Ended, require_lab

SECRETS = paths.SECRETS
TOKENS = ("verify", "provision")
# What a refused run must leave as it was.
STATE = (
    "dpkg-query -W; apt-mark showhold; pvesh get /access/acl --output-format json; "
    "pvesh get /access/users --output-format json; pvesh get /storage --output-format json; "
    "find /etc /root -type f -newer /tmp/since"
)


@dataclass(frozen=True)
class Installed:
    """`folder` holds a copy of the inventory, which a test may edit, and the harness's own state."""

    folder: Path

    @property
    def declared(self) -> Path:
        """The file that declares the hypervisor."""
        return self.folder / "inventory/lab/host_vars/hv01.yml"

    def declare(self, old: str, new: str) -> None:
        text = self.declared.read_text()
        assert old in text
        self.declared.write_text(text.replace(old, new))

    def command(self, *arguments: str, task: str = "bootstrap") -> list[str]:
        tasks = [sys.executable, "-m", "invoke", "--search-root", str(ROOT)]
        return [*tasks, task, f"--inventory={self.folder / 'inventory'}", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "MGMT_HARNESS_STATE": str(self.folder / "state"), "COLUMNS": "200"}

    def bootstrap(self, *arguments: str) -> Ended:
        return self.invoke("bootstrap", *arguments)

    def invoke(self, task: str, *arguments: str) -> Ended:
        full = (task, f"--inventory={self.folder / 'inventory'}", *arguments)
        return front_door.invoke(full, self.environment, limit_s=300)

    def inside(self, command: str, *, host: str = "hv01") -> str:
        return machines.run_inside(paths.MACHINES / host, "sh", "-c", f"cd / && {command}", tried=command).strip()

    def pvesh(self, command: str) -> Any:
        return json.loads(self.inside(f"pvesh {command} --output-format json"))

    def version(self) -> str:
        return self.inside("dpkg-query -W -f '${Version}' pve-manager")


@contextmanager
def installed_lab(folder: Path, state: HypervisorState = "installed") -> Iterator[Installed]:
    """From nothing, and gone afterwards."""
    require_lab()
    subprocess.run(["cp", "-r", ROOT / "inventory", folder / "inventory"], check=True)
    lab.down(print)
    lab.up(spec_of(open_contract(folder / "inventory", "lab"), state), progress=print)
    try:
        yield Installed(folder)
    finally:
        lab.down(print)


def call(purpose: str, method: str, path: str, **form: str) -> requests.Response:
    """The API with one of the tokens bootstrap made."""
    api = lab.status().api
    assert api is not None
    token = f"{purpose}@pve!harness={(SECRETS / f'{purpose}.token').read_text().strip()}"
    return requests.request(
        method,
        f"{api.url}/api2/json{path}",
        headers={"Authorization": f"PVEAPIToken={token}"},
        data=form or None,
        verify=api.ca_file,
        timeout=30,
    )


def lines_with(ended: Ended, word: str) -> list[str]:
    """What a run said, from the role on."""
    return [line.split("hv01: ", 1)[1] for line in ended.out.splitlines() if word in line and "hv01: " in line]
