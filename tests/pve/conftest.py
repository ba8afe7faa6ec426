"""A server with prepared answers for each test of the client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pve.served import Served, make_certificate, serving


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key; making them costs more than most of these tests."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def served(certificate: tuple[Path, Path]) -> Iterator[Served]:
    with serving(*certificate) as running:
        yield running
