"""A lost answer to any write is found out about: what had taken effect is not done again, what had not is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.engine.sweeps import ALL
from tests.engine.world import World
from tests.recovery import driving
from tests.recovery.driving import back
from tests.recovery.test_recovery_killed import numbers_of_writes, state, with_backup

ACTS = {"rebuild": driving.rebuild, "restore": driving.restore, "destroy": driving.destroy}
# Sent once more these change nothing: PVE writes the same text, stops what is stopped, asks an agent that is silent.
HARMLESS = ("/config", "/status/stop", "/agent/exec")


def effects(world: World) -> Counter[str]:
    writes = world.simulated.control(op="writes")
    return Counter(f"{write['method']} {write['path']}" for write in writes if not write["path"].endswith(HARMLESS))


@pytest.mark.parametrize("kind", ["drop-after", "596-before", *(["drop-before", "596"] * ALL)])
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_it_ends_in_the_same_run(world: World, act: Callable[[World], object], kind: str) -> None:
    begin = with_backup if act is driving.restore else back
    begin(world)
    numbers = numbers_of_writes(world, act)
    undisturbed, once = state(world), effects(world)
    for number in numbers[:: 1 if ALL else 2]:
        begin(world)
        world.simulated.fault(kind=kind, at=number, method="*")
        act(world)
        assert effects(world) == once, (number, kind)
        assert state(world) == undisturbed, (number, kind)
