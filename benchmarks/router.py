"""Time 200 more reservations on the lab's router, of each kind: python -m benchmarks.router [--kind KIND ...]."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import yaml
from rich.console import Console
from rich.table import Table

from harness import lab, routers
from harness.contract import Contract
from harness.core_router import compare_now, open_router
from harness.site import open_contract

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent
HOSTS = 200
# Seconds, and how often the DHCP server is told.
GOALS = {"render": 1.0, "check": 1.0, "render and check": 1.0, "apply": None, "activations": 1}
TOLD = {
    "dnsmasq": "journalctl -u dnsmasq --no-pager | grep -c 'read /etc/mgmt-dnsmasq/hosts.dhcp'",
    "kea": "journalctl -u kea --no-pager | grep -c 'Started kea.service'",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", action="append", choices=("dnsmasq", "kea", "vyos"), help="default: all")
    kinds = parser.parse_args().kind or ["dnsmasq", "kea", "vyos"]
    with tempfile.TemporaryDirectory(prefix="mgmt-benchmark-") as folder:
        os.environ["MGMT_HARNESS_STATE"] = folder
        inventory = _many(Path(folder))
        taken = {kind: _figures(kind, inventory) for kind in kinds}
    table = Table(f"{HOSTS} more reservations", *kinds, "goal")
    for name, goal in GOALS.items():
        table.add_row(name, *(f"{taken[kind][name]:.2f}" for kind in kinds), "" if goal is None else f"<= {goal}")
    Console().print(table)
    reached = (taken[kind][name] <= goal for kind in kinds for name, goal in GOALS.items() if goal is not None)
    return 0 if all(reached) else 1


def _many(folder: Path) -> Path:
    """The lab's inventory with as many hosts more, each with a reservation, a name and an alias."""
    inventory = folder / "inventory"
    shutil.copytree(ROOT / "inventory/lab", inventory / "lab")
    hosts = yaml.safe_load((inventory / "lab/hosts.yml").read_text())
    named = {f"desk-ph{number:03}": number for number in range(HOSTS)}
    hosts["all"]["children"]["desks"] = {"hosts": {name: {} for name in named}}
    (inventory / "lab/hosts.yml").write_text(yaml.safe_dump(hosts))
    for name, number in named.items():
        names = {"host_a_record": True, "dhcp_reservation": True, "cnames": [f"d{number}"]}
        address = {"ip": f"198.18.99.{50 + number}", "segment": "management", "purpose": "mgmt", "dns": names}
        said = {
            "infrastructure": {"form": "ph", "interfaces": {"eth0": {"mac": f"52:54:00:00:00:{number:02x}"}}},
            "env": {"interfaces": {"eth0": address}},
        }
        (inventory / f"lab/host_vars/{name}.yml").write_text(yaml.safe_dump(said))
    return inventory


def _figures(kind: str, inventory: Path) -> dict[str, float]:
    """The lab comes up with its own inventory; then the larger one is what is declared."""
    _invoke("lab.down")
    _invoke("lab.up", "--bootstrapped", "--router", kind)
    try:
        contract = open_contract(inventory, "lab")
        _, render_s = _timed(lambda: routers.render(contract))
        differences, check_s = _timed(lambda: _check(contract))
        before = _told(kind)
        _, apply_s = _timed(lambda: _invoke("router.apply", "--inventory", str(inventory)))
        if differences != 3 * HOSTS or _check(contract):
            sys.exit(f"{kind}: {differences} differences before, and not none after the apply")
        told = _told(kind) - before
    finally:
        _invoke("lab.down")
    figures = {"render": render_s, "check": check_s, "render and check": render_s + check_s}
    return {**figures, "apply": apply_s, "activations": told}


def _check(contract: Contract) -> int:
    with open_router(contract) as router:
        return len(compare_now(contract, router).differences)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.monotonic()
    return work(), time.monotonic() - started


def _told(kind: str) -> int:
    """How often the DHCP server has been given something."""
    asked = [*lab.ssh_command("core-rt01"), TOLD.get(kind, TOLD["kea"])]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


def _invoke(*arguments: str) -> None:
    ended = subprocess.run([ROOT / "invoke", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"./invoke {' '.join(arguments)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")


if __name__ == "__main__":
    sys.exit(main())
