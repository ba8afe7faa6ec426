"""The lab's inventory in front of a simulator on loopback, and its VMs made there without a wire behind them."""

from __future__ import annotations

import shutil
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.contract import Contract
from harness.engine.events import Provisioned
from harness.engine.first_backups import first_backups
from harness.engine.provision import Limits, provision
from harness.inventory import load, resolve
from harness.site import open_contract
from tests.door.playing import ROOT, Played, play
from tests.simulators import TOKENS, Simulated
from tests.wires import Wire

NAMES = tuple(guest.name for guest in resolve(load(ROOT / "inventory", "lab"), state_dir=Path()).guests)


@dataclass
class Loop:
    """A site that Ansible and the tests both know; `state` is the harness's state folder."""

    simulated: Simulated
    site: Path
    state: Path

    @property
    def contract(self) -> Contract:
        return open_contract(self.site.parent, self.site.name)

    def play(self, *arguments: str, **more: Any) -> Played:
        return play(self.site, self.state, *arguments, **more)

    def make(self, only: Set[str] | None = None) -> Provisioned:
        """As a run would that reaches its guests."""
        contract = self.contract
        wire = Wire(self.state / "identities", self.simulated.reader(), contract.state_dir / "known_hosts")
        with_what: dict[str, Any] = {
            "reader": self.simulated.reader(),
            "looks": wire.looks(),
            "report": lambda _: None,
        }
        writer, limits = self.simulated.writer(), Limits(agent_grace_s=0.0)
        done = provision(contract, writer, only=only, limits=limits, **with_what)
        assert not done.failed, done.failed[0].error
        assert {one.outcome for one in first_backups(contract, writer, names=only, **with_what)} <= {"saved"}
        self.simulated.control(op="reset-counters")
        return done

    def refer(self, purpose: str, secret: dict[str, Any]) -> None:
        """Let the inventory say that a token's secret is kept elsewhere."""
        edit(self.site / "host_vars/hv01.yml", "mgmt_hypervisor", "api", "tokens", purpose, "secret", to=secret)


def make_loop(simulated: Simulated, folder: Path) -> Loop:
    site = folder / "inventory/loop"
    shutil.copytree(ROOT / "inventory/lab", site)
    for file in site.rglob("*.yml"):
        # On loopback every address answers, so no VM is ever made here: its address is somebody else's already.
        file.write_text(file.read_text().replace("198.18.99.", "127.99.99."))
    api = {
        "url": simulated.url,
        "fingerprint": ":".join(simulated.fingerprint[at : at + 2].upper() for at in range(0, 64, 2)),
        "tokens": {
            name: {"id": token, "secret": {"file": str(simulated.folder / f"{name}.token")}}
            for name, token in TOKENS.items()
        },
    }
    for name in TOKENS:
        (simulated.folder / f"{name}.token").chmod(0o600)
    edit(site / "host_vars/hv01.yml", "mgmt_hypervisor", "api", to=api)
    edit(site / "host_vars/core-rt01.yml", "mgmt_router", to={"kind": "dnsmasq", "dns": "127.99.99.1"})  # not readable
    return Loop(simulated, site, folder / "harness-state")


def edit(file: Path, *path: str, to: object) -> None:
    whole = yaml.safe_load(file.read_text())
    place = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
