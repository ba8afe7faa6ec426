"""Provision the three guests of a simulated site in a process of its own, so that a test can end it at any moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.engine.events import Event
from harness.engine.provision import Limits, provision
from tests.engine.world import world_of
from tests.simulators import Simulated


def main(folder: str, url: str, fingerprint: str) -> int:
    simulated = Simulated(url, fingerprint, Path(folder), process=subprocess.Popen(["true"], text=True))
    world = world_of(simulated)

    def tell(event: Event) -> None:
        print(f"{event.guest} {event.step} {event.state} {event.text}", flush=True)

    writer, reader = simulated.pair()
    try:
        provision(
            world.contract,
            writer,
            reader=reader,
            looks=world.wire.looks(),
            report=tell,
            limits=Limits(agent_grace_s=0.0),
        )
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
