"""The machine that the SSH tests log in to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.remote.ssh import Connections, connections
from tests.remote.machine import Machine, started_machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with started_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture
def opened(machine: Machine) -> Iterator[Connections]:
    with connections([machine.login]) as to_machine:
        yield to_machine
