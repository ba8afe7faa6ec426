"""Markers shared by all tests of the harness."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: needs root and brings the embedded lab up on this machine")
    config.addinivalue_line("markers", "recordings: needs the recorded exchanges in ../shared; skipped without them")
