"""One provisioned lab for the tests of the whole path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.site.driver import Site, require_lab


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab up, with no VM yet."""
    require_lab()
    made = Site(tmp_path_factory.mktemp("state"))
    for command in (("lab.down",), ("lab.up",)):
        ended = made.invoke(*command)
        assert ended.status == 0, ended.said
    yield made
    assert made.invoke("lab.down").status == 0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab up and provisioned, from nothing; gone afterwards."""
    require_lab()
    made = Site(tmp_path_factory.mktemp("state"))
    for command in (("lab.down",), ("lab.up",), ("provision",)):
        ended = made.invoke(*command)
        assert ended.status == 0, ended.said
    yield made
    assert made.invoke("lab.down").status == 0
