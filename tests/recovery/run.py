"""Rebuild, destroy, restore or drill one guest in a process of its own, so that it can be killed anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.engine.world import World, world_of
from tests.recovery import driving
from tests.simulators import Simulated

COMMANDS: dict[str, Callable[[World], object]] = {
    "rebuild": driving.rebuild,
    "destroy": driving.destroy,
    "restore": driving.restore,
    "drill rebuild": partial(driving.drill, name="rebuild"),
    "drill restore": partial(driving.drill, name="restore"),
}


def main(folder: str, url: str, fingerprint: str, command: str) -> int:
    sys.stdin.read(1)  # until the test knows the number of this process
    simulated = Simulated(url, fingerprint, Path(folder), process=subprocess.Popen(["true"], text=True))
    COMMANDS[command](world_of(simulated))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
