"""One bootstrap that nobody disturbed, for all who compare with it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bootstrap.installed import installed_lab
from tests.bootstrap.states import state


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The hypervisor before bootstrap and after it. Its lab is gone: there is one at a time."""
    with installed_lab(tmp_path_factory.mktemp("undisturbed")) as host:
        before = state(host)
        ended = host.bootstrap()
        assert ended.status == 0, ended.said
        return {"before": before, "after": state(host)}
