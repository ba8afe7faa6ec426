"""A simulated site for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.world import World, world_of
from tests.pve.served import make_certificate
from tests.simulators import simulating


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def world(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[World]:
    with simulating(tmp_path, *certificate) as simulated:
        yield world_of(simulated)
