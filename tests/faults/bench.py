"""The lab as a machine that keeps the whole contract with nothing waived, and `verify` run on it in this process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import lab
from harness.contract import Contract
from harness.lab import machines
from harness.lab.paths import MACHINES
from harness.lab.status import guest_pid, root_of
from harness.printing import Lines
from harness.report.model import Report
from harness.site import open_contract
from harness.verify import VerifyOptions
from harness.verify.run import take_report

SITE, HYPERVISOR, ROUTER = "lab", "hv01", "core-rt01"
# pytest's own order, whatever plugins are there; and no search through the memory of the tests around it, each time.
PYTEST = ("-p", "no:randomly", "-p", "no:xdist", "-p", "no:unraisableexception")
WHOLE = "whole"  # the name of the simulator's state as it should be


@dataclass(frozen=True)
class Look:
    """What one run of verify came to, and everything it printed."""

    report: Report
    printed: str


@dataclass
class Bench:
    """One lab; `inventory` and `contract` are what verify is given, and a fault may replace them for a while."""

    inventory: Path
    contract: Contract
    scratch: Path

    def verify(self) -> Look:
        """Every clause, on everything: as the command does it, without a new process for each run."""
        printed = io.StringIO()
        options = VerifyOptions(site=SITE, inventory=self.inventory, pytest_args=PYTEST)
        report = take_report(options, contract=self.contract, out=Lines(printed))
        assert report is not None, "verify refused to look: its reason stands in the captured error output"
        return Look(report, printed.getvalue())

    @contextmanager
    def using(self, *, inventory: Path | None = None, contract: Contract | None = None) -> Iterator[None]:
        """Another inventory, another contract, or both, and afterwards these again."""
        before = self.inventory, self.contract
        self.inventory, self.contract = inventory or self.inventory, contract or self.contract
        try:
            yield
        finally:
            self.inventory, self.contract = before


def open_bench(inventory: Path, scratch: Path) -> Bench:
    control(op="snapshot", name=WHOLE)
    return Bench(inventory, open_contract(inventory, SITE), scratch)


def control(**request: object) -> object:
    """One request to the simulator's side door."""
    answer = lab.control(request)
    assert answer["ok"], f"{request}: {answer['error']}"
    return answer["result"]


def put_back() -> None:
    """The simulator's state as it should be, whatever calls changed in it; machines run that ran then."""
    control(op="restore", name=WHOLE)


def vmid_of(name: str) -> int:
    return next(guest.vmid for guest in lab.status().guests if guest.name == name)


def root(host: str) -> Path:
    """The file system of a machine or guest of the lab, as seen from here."""
    machine = root_of(HYPERVISOR if host not in (HYPERVISOR, ROUTER) else host)
    assert machine is not None, f"{host} does not run"
    if host in (HYPERVISOR, ROUTER):
        return machine
    pid = guest_pid(machine, vmid_of(host))
    assert pid is not None, f"{host} does not run"
    return machine / "proc" / str(pid) / "root"


def run(host: str, script: str) -> str:
    """Run a script as root on a machine or guest, by its namespaces: no login, no network, no agent."""
    if host in (HYPERVISOR, ROUTER):
        return machines.run_inside(MACHINES / host, "sh", "-ec", script, tried="seed a fault")
    pid = root(host).parent.name
    into = ("nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/")
    return machines.run_inside(MACHINES / HYPERVISOR, *into, "sh", "-ec", script, tried=f"seed a fault in {host}")
