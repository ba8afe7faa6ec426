"""Markers shared by all tests of the harness."""

from __future__ import annotations

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: needs root and brings the embedded lab up on this machine")
    config.addinivalue_line("markers", "recordings: needs the recorded exchanges in ../shared; skipped without them")
    # A background job of a shell ignores Ctrl-C, and so would everything the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
