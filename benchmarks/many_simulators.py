"""Many simulated hypervisors in one process: python -m benchmarks.many_simulators FOLDER FIRST COUNT."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from harness.lab.pve.dispatch import Dispatcher
from harness.lab.pve.options import parse_options
from harness.lab.pve.seed import apply_seed
from harness.lab.pve.server import Server
from harness.lab.pve.simulator import build


def main(folder: Path, first: int, count: int) -> None:
    """Serve until the end of this process; the ports go to standard output once all of them listen."""
    os.environ["PATH"] = str(folder / "no-programs")  # these nodes have no packages, and asking dpkg takes its time
    seed = json.loads((folder / "seed.json").read_text())
    ports = []
    for number in range(first, first + count):
        server = _start(folder, number, seed)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ports.append(server.server_port)
    print(json.dumps(ports), flush=True)
    sys.stdin.read()  # whoever started us is there as long as this is open


def _start(folder: Path, number: int, seed: dict[str, object]) -> Server:
    said = {
        "state": folder / f"state-{number}",
        "listen": "127.0.0.1:0",
        "certificate": folder / "certificate.pem",
        "key": folder / "key.pem",
        "node": "hv01",
        "bridges": "vmbr0",
        "interfaces": folder / "interfaces",
    }
    options = parse_options([word for name, value in said.items() for word in (f"--{name}", str(value))])
    sim = build(options)
    apply_seed(sim, seed, folder)
    return Server(options, Dispatcher(sim))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
