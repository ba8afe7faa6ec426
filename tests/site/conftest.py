"""One provisioned lab for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.site.driver import Site, provisioned


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab up, with no VM yet."""
    with provisioned(tmp_path_factory.mktemp("state"), ("lab.up", "--bootstrapped")) as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab up and provisioned, from nothing and without the time bootstrap takes; gone afterwards."""
    with provisioned(tmp_path_factory.mktemp("state"), ("lab.up", "--bootstrapped"), ("provision",)) as made:
        yield made
