"""Markers shared by all tests of the harness."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: needs root and brings the embedded lab up on this machine")
    config.addinivalue_line("markers", "recordings: needs the recorded exchanges in ../shared; skipped without them")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A machine carries one lab: the tests that bring it up stay in one process, one after the other."""
    for item in items:
        if item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.xdist_group("lab"))
