"""The site that is measured: the lab at its distance, or one that is there; only the lab is ever cleared."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.turns import Failed
from harness import lab
from harness.contract import Contract
from harness.evidence import Secret
from harness.pve.client import Writer, connect
from harness.pve.errors import Absent
from harness.pve.parallel import in_flight
from harness.pve.upid import parse_upid, wait_task
from harness.remote import ssh
from harness.site import open_contract, open_reader

ROOT = Path(__file__).resolve().parent.parent
LAB = "lab"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE_S = 600.0


@dataclass(frozen=True)
class Place:
    """The site, and the folder in which this run of the benchmark keeps what it needs."""

    contract: Contract
    inventory: Path
    folder: Path

    @property
    def in_lab(self) -> bool:
        return self.contract.site == LAB

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def maker(self) -> Path:
        """Holds the name of the contender that made the VMs that are there."""
        return self.folder / "made-by"

    def template_notes(self) -> str:
        """The notes of the first template, which carry the mark that clones are to name."""
        templates = [one.vmid for one in self.contract.hypervisor.templates.values() if one.vmid is not None]
        node = self.contract.hypervisor.node
        return str(open_reader(self.contract).get(f"/nodes/{node}/qemu/{templates[0]}/config").get("description", ""))

    def invoke(self, *arguments: str) -> str:
        """What ./invoke said; Failed when it did not end with 0."""
        named = ["--site", self.contract.site, "--inventory", str(self.inventory)]
        return run_program([str(ROOT / "invoke"), *arguments, *named], {"MGMT_HARNESS_STATE": str(self.state)})

    def clear(self) -> None:
        """No management VM and no backup is left, and this machine has forgotten them: the lab's alone."""
        if not self.in_lab:
            raise Failed(f"{self.contract.site} is not the lab: its VMs are not ours to delete")
        root, node = _root(self.contract), self.contract.hypervisor.node
        in_flight(lambda guest: _remove(root, node, int(guest.vmid)), self.contract.guests)
        for archive in root.get(f"/nodes/{node}/storage/local/content", {"content": "backup"}):
            root.delete(f"/nodes/{node}/storage/local/content/{archive['volid']}")
        shutil.rmtree(self.state, ignore_errors=True)
        self.maker.unlink(missing_ok=True)


def run_program(argv: list[str], environment: dict[str, str], folder: Path = ROOT) -> str:
    """Its standard output; Failed with its last words when it did not end with 0."""
    whole = {"PATH": PATH, "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8", **environment}
    try:
        ended = subprocess.run(
            argv, env=whole, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE_S
        )
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(argv[:6])} did not end within {PATIENCE_S:g} s") from late
    if ended.returncode:
        said = "\n".join((ended.stdout + ended.stderr).splitlines()[-40:])
        raise Failed(f"{' '.join(argv[:6])} ended with {ended.returncode}:\n{said}")
    return ended.stdout


@contextmanager
def open_place(site: str, latency: str, inventory: Path, folder: Path) -> Iterator[Place]:
    """The lab comes up for it, at that distance, and is gone afterwards; another site is taken as it is."""
    os.environ["MGMT_HARNESS_STATE"] = str(folder / "state")
    if site != LAB:
        yield Place(open_contract(inventory, site), inventory, folder)
        return
    down = [str(ROOT / "invoke"), "lab.down"]
    run_program(down, {})
    try:
        run_program([str(ROOT / "invoke"), "lab.up", "--bootstrapped", "--latency", latency], {})
        yield Place(open_contract(inventory, site), inventory, folder)
    finally:
        run_program(down, {})


@contextmanager
def open_logins(place: Place) -> Iterator[ssh.Connections]:
    with ssh.connections(ssh.site_logins(place.contract)) as opened:
        yield opened


def _remove(root: Writer, node: str, vmid: int) -> None:
    vm = f"/nodes/{node}/qemu/{vmid}"
    try:
        root.put(f"{vm}/config", {"protection": False})
    except Absent:
        return
    _finish(root, root.post(f"{vm}/status/stop"))
    _finish(root, root.delete(vm, {"purge": True}))


def _finish(root: Writer, upid: Any) -> None:
    wait_task(root, parse_upid(upid), deadline_s=60.0, tried="clear the site", on="the lab")


def _root(contract: Contract) -> Writer:
    """The lab's own root; no other site's is ever asked for."""
    api = lab.status().api
    if api is None:
        raise Failed("the lab is down")
    password = Secret(Path(api.root_password_file).read_text().strip())
    return connect(
        contract.hypervisor.api,
        purpose="root",
        secret=password,
        read_only=False,
        fingerprint=api.fingerprint.replace(":", "").lower(),
        user=api.root_user,
    )
