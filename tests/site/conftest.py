"""One provisioned lab for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.site.driver import Site, provisioned


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
    """The lab up and provisioned, from nothing and without the time bootstrap takes; gone afterwards."""
    with provisioned(tmp_path_factory.mktemp("state"), ("lab.up", "--bootstrapped"), ("provision",)) as made:
        yield made
