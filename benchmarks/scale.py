"""Verify the API part of 10 and of 100 simulated hypervisors, 10 VMs on each: python -m benchmarks.scale."""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from io import StringIO
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.expected_guests import guests_of
from benchmarks.place import ROOT
from harness.commands.lab import spec_of
from harness.contract import Api, ApiToken, Contract, SecretRef
from harness.inventory import load, resolve
from harness.lab.seed import seed_of
from harness.lab.spec import LabSpec
from harness.printing import Lines
from harness.verify import VerifyOptions
from harness.verify.clauses import load_clauses
from harness.verify.run import take_report

FEW, MANY = 10, 100
PROCESSES = 4
MOST_MIB, MOST_RATIO = 300, 1.2
TOKENS = ("verify", "provision")
# A node that was seeded has made no backup, so no task of it says how one ended.
WITHOUT = frozenset({"backup.recent"})


@dataclass(frozen=True)
class Fleet:
    """What one process measured of itself while it verified that many hypervisors."""

    hypervisors: int
    checks: int
    api_calls: int
    seconds: float
    memory_mib: float

    @property
    def each(self) -> float:
        return self.seconds / self.hypervisors


def main() -> int:
    """0 when both goals are reached, 1 when one is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="how often each is timed, in turns (default: 3)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--verify", nargs=2, metavar=("FOLDER", "COUNT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.verify:
        folder, count = asked.verify
        print(json.dumps(asdict(verify_fleet(Path(folder), int(count)))))
        return 0
    with tempfile.TemporaryDirectory(prefix="mgmt-scale-") as folder, simulators(Path(folder)):
        taken = [measure(Path(folder), count) for _ in range(asked.runs) for count in (FEW, MANY)]
    return show(taken, asked.json, Console(highlight=False))


def show(taken: Sequence[Fleet], file: Path | None, out: Console) -> int:
    table = Table("hypervisors", "checks", "API calls", "median s", "ms each", "memory MiB")
    each = {}
    for count in (FEW, MANY):
        runs = [one for one in taken if one.hypervisors == count]
        seconds, memory = statistics.median(one.seconds for one in runs), max(one.memory_mib for one in runs)
        each[count] = seconds / count
        counts = (str(count), str(runs[0].checks), str(runs[0].api_calls))
        table.add_row(*counts, f"{seconds:.1f}", f"{each[count] * 1000:.0f}", f"{memory:.0f}")
    ratio, memory = each[MANY] / each[FEW], max(one.memory_mib for one in taken)
    out.print(table)
    out.print(f"each of {MANY} costs {ratio:.2f} times what each of {FEW} does (<= {MOST_RATIO})", markup=False)
    out.print(f"most memory: {memory:.0f} MiB (<= {MOST_MIB})", markup=False)
    if file:
        figures = {"runs": [asdict(one) for one in taken], "ratio": ratio, "memory_mib": memory}
        file.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if ratio <= MOST_RATIO and memory <= MOST_MIB else 1


def verify_fleet(folder: Path, count: int) -> Fleet:
    """One site after the other in this process; SystemExit when a promise is broken anywhere."""
    contracts = list(_contracts(folder, count))
    clauses = load_clauses(ROOT / "specs/clauses.yml").by_id.values()
    chosen = [one.id for one in clauses if set(one.evidence) <= {"api", "inventory"} and one.id not in WITHOUT]
    options = VerifyOptions(inventory=ROOT / "inventory", clauses=tuple(chosen))
    checks = calls = 0
    began = time.monotonic()
    for contract in contracts:
        said = StringIO()
        report = take_report(options, contract=contract, out=Lines(said))
        if report is None or report.exit_status:
            sys.exit(f"{contract.hypervisor.api.url}: {said.getvalue()}")
        checks += sum(len(one.checks) for one in report.clauses)
        calls += report.api_calls
    seconds = time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Fleet(count, checks, calls, round(seconds, 3), round(memory, 1))


def measure(folder: Path, count: int) -> Fleet:
    argv = [sys.executable, "-m", "benchmarks.scale", "--verify", str(folder), str(count)]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(ended.stdout + ended.stderr)
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return Fleet(**told)


@contextmanager
def simulators(folder: Path) -> Iterator[None]:
    """MANY of them, a few processes' worth; the ports are in the folder."""
    _write(folder)
    share = MANY // PROCESSES
    with ExitStack() as stack:
        served = [stack.enter_context(_process(folder, first, share)) for first in range(0, MANY, share)]
        ports = [port for one in served for port in json.loads(_line(one))]
        (folder / "ports.json").write_text(json.dumps(ports))
        yield


@contextmanager
def _process(folder: Path, first: int, count: int) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-m", "benchmarks.many_simulators", str(folder), str(first), str(count)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101 - asked for above
    return process.stdout.readline() or sys.exit("a process of simulators ended before it listened")


def _write(folder: Path) -> None:
    """What the simulators and their clients read: a certificate, secrets, and the seed of a provisioned hypervisor."""
    certificate = [*("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")]
    certificate += ["-days", "30", "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(certificate, cwd=folder, capture_output=True, check=True)
    for name in ("verify.token", "provision.token", "root.password"):
        (folder / name).touch(0o600)
        (folder / name).write_text(f"00000000-0000-4000-8000-{sha256(name.encode()).hexdigest()[:12]}")
    (folder / "interfaces").write_text("auto vmbr0\niface vmbr0 inet manual\n\tbridge-ports eno1\n")
    contract = _lab(folder)
    (folder / "seed.json").write_text(json.dumps(_seed(contract, spec_of(contract, "bootstrapped"))))


def _seed(contract: Contract, spec: LabSpec) -> dict[str, Any]:
    seed = seed_of(spec)
    guests = guests_of(contract, f"build: {spec.template.build_mark}")
    seed["vms"] += [{"vmid": guest["vmid"], "config": _config(guest)} for guest in guests]
    seed["pools"][0]["vms"] += [guest["vmid"] for guest in guests]
    seed["running"] = [guest["vmid"] for guest in guests]
    return seed


def _config(guest: dict[str, Any]) -> dict[str, str]:
    same = {"name": "name", "net0": "net0", "startup": "startup", "description": "notes"}
    return {
        **{key: guest[value] for key, value in same.items()},
        **{key: str(guest[key]) for key in ("memory", "cores")},
        **{"onboot": "1", "protection": "1", "agent": "1", "boot": "order=scsi0", "scsihw": "virtio-scsi-single"},
        "tags": ";".join(guest["tags"]),
        "scsi0": f"local-lvm:base-{guest['template']}-disk-0/vm-{guest['vmid']}-disk-0,size=4G",
    }


def _contracts(folder: Path, count: int) -> Iterator[Contract]:
    """The lab's contract once for each hypervisor: only where it is reached differs."""
    contract = _lab(folder)
    pin = sha256(PEM_cert_to_DER_cert((folder / "certificate.pem").read_text())).hexdigest()
    tokens = {
        name: ApiToken(f"{name}@pve!harness", SecretRef("file", str(folder / f"{name}.token"))) for name in TOKENS
    }
    for port in json.loads((folder / "ports.json").read_text())[:count]:
        api = Api(f"https://127.0.0.1:{port}", None, pin, tokens)
        yield replace(contract, hypervisor=replace(contract.hypervisor, api=api))


def _lab(folder: Path) -> Contract:
    return resolve(load(ROOT / "inventory", "lab"), state_dir=folder / "harness-state")


if __name__ == "__main__":
    sys.exit(main())
