"""The guest that is looked at, what its neighbours have shown, and the API's answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED, pvesh


@pytest.fixture(scope="module")
def guest(host: Host) -> dict[str, Any]:
    """What the guest that is looked at must be."""
    found: dict[str, Any] = next(one for one in EXPECTED["guests"] if one["name"] == host.backend.hostname)
    return found


@pytest.fixture(scope="session")
def seen() -> dict[str, dict[str, str]]:
    """What must be unique among the guests, by what it is and by its value."""
    return {"machine-id": {}, "host-key": {}}


@pytest.fixture(scope="module")
def api(host: Host) -> Callable[[str], Any]:
    """The API of the node, each path asked once by a file of specs."""
    return cache(lambda path: pvesh(host, path))
