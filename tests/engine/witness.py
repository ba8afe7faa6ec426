"""The simulator as a service that is restarted whenever it dies, with guests whose every boot is on record.

`python -m tests.engine.witness FOLDER [options of the simulator]`: FOLDER gets `boots` (one JSON line for each guest
that was powered on) and `lives` (one line for each start of the simulator). While FOLDER/power exists, a death is a
power loss: no guest runs afterwards, and those that start with the node are started.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.lab.pve.__main__ import main
from harness.lab.pve.runtime import GuestNic, NoRuntime


class Witness(NoRuntime):
    def __init__(self, record: Path, running: Mapping[int, int]) -> None:
        super().__init__(lambda: ["vmbr0"], running)
        self._record = record

    def start(self, vmid: int, nics: Sequence[GuestNic]) -> int:
        with self._record.open("a") as file:
            file.write(json.dumps({"vmid": vmid, "macs": [nic.mac for nic in nics]}) + "\n")
        return super().start(vmid, nics)


def live(folder: Path, arguments: list[str]) -> None:
    """One life of the simulator."""
    state = folder / "state"
    data = json.loads((state / "state.json").read_text()) if (state / "state.json").exists() else {}
    lost_power = bool(data) and (folder / "power").exists()
    with (folder / "lives").open("a") as file:
        file.write(f"{os.getpid()}\n")
    running = {int(vmid): int(started[0]) for vmid, started in data.get("started", {}).items()}
    witness = Witness(folder / "boots", {} if lost_power else running)
    if lost_power:
        _start_with_the_node(data, witness)
    port = (state / "port").read_text().strip() if (state / "port").exists() else "0"
    main([*arguments, "--state", str(state), "--listen", f"127.0.0.1:{port}"], witness)


def _start_with_the_node(data: dict[str, Any], witness: Witness) -> None:
    """PVE's own start of all guests, short: what the seeds of these tests need of it."""
    for vmid, record in data["vms"].items():
        config = record["config"]
        if config.get("onboot") == "1" and "lock" not in config:
            mac = config["net0"].partition(",")[0].partition("=")[2]
            witness.start(int(vmid), [GuestNic(0, mac, "vmbr0")])


def keep_alive(folder: Path, arguments: list[str]) -> None:
    """Fork a life, wait for its end, fork the next one; without the second it takes to start Python."""
    child = 0

    def end(*_: object) -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os._exit(0)

    while True:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        child = os.fork()
        if child == 0:
            live(folder, arguments)
        signal.signal(signal.SIGTERM, end)
        os.waitpid(child, 0)


if __name__ == "__main__":
    keep_alive(Path(sys.argv[1]), sys.argv[2:])
