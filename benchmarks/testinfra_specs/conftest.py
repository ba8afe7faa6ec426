"""The guest that is looked at, and what its neighbours have shown."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED


@pytest.fixture(scope="module")
def guest(host: Host) -> dict[str, Any]:
    """What the guest that is looked at must be."""
    found: dict[str, Any] = next(one for one in EXPECTED["guests"] if one["name"] == host.backend.hostname)
    return found


@pytest.fixture(scope="session")
def seen() -> dict[str, dict[str, str]]:
    """What must be unique among the guests, by what it is and by its value."""
    return {"machine-id": {}, "host-key": {}}
