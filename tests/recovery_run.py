"""Rebuild, destroy or restore one guest of test_recovery in a process of its own, so that it can be killed anywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.engine import backing_up, destroying, rebuilding, restoring
from tests.simulators import Simulated
from tests.test_engine import World, world_of

METRICS = "metrics-vm01"


def tools(world: World) -> dict[str, Any]:
    return {
        "client": world.simulated.writer(),
        "reader": world.simulated.reader(),
        "looks": world.wire.looks(),
        "report": world.events.append,
        "name": METRICS,
    }


def rebuild(world: World) -> None:
    rebuilding.rebuild(world.contract, **tools(world), without_backup=True, agent_grace_s=0.0)


def destroy(world: World) -> None:
    destroying.destroy(world.contract, **tools(world), agree=lambda _: True)


def restore(world: World) -> None:
    restoring.restore_in_place(world.contract, **tools(world), archive=None, agent_grace_s=0.0)


def back_up(world: World) -> None:
    named = tools(world)
    backing_up.back_up(world.contract, names=[named.pop("name")], **named)


COMMANDS: dict[str, Callable[[World], None]] = {"rebuild": rebuild, "destroy": destroy, "restore": restore}


def main(folder: str, url: str, fingerprint: str, command: str) -> int:
    sys.stdin.read(1)  # until the test knows the number of this process
    simulated = Simulated(url, fingerprint, Path(folder), process=subprocess.Popen(["true"], text=True))
    COMMANDS[command](world_of(simulated))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
