"""One simulated site for the tests of a module, with three guests in backup jobs; each test begins with it as new."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.world import World, world_of
from tests.pve.served import make_certificate
from tests.recovery.driving import back, keep, with_jobs
from tests.simulators import simulating


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("simulated")
    with simulating(folder, *make_certificate(tmp_path_factory.mktemp("certificate"))) as simulated:
        made = world_of(simulated)
        assert not made.provision().failed
        with_jobs(made)
        keep(made)
        yield made


@pytest.fixture
def world(whole: World) -> World:
    back(whole)
    whole.wire.pvesh = None  # nobody is root on the node
    return whole
