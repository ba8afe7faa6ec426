"""A simulator on loopback, and an inventory that leads to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.door.loop import Loop, make_loop
from tests.pve.served import make_certificate
from tests.simulators import simulating


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def loop(tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """No VM yet."""
    monkeypatch.setenv("MGMT_HARNESS_STATE", str(tmp_path / "harness-state"))
    with simulating(tmp_path, *certificate) as simulated:
        yield make_loop(simulated, tmp_path)
