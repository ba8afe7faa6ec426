"""Markers shared by all tests of the harness, and how they are shared out when they run side by side."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import pytest

from tests.faults.score import pytest_terminal_summary
from tests.side_by_side import SideBySide

__all__ = ["pytest_terminal_summary"]  # a hook of pytest's: below the results of whatever ran

# Folders whose modules take a minute without a lab: sweeps of kills, Ansible, whole recordings.
LONG = {"recovery", "engine", "door", "pve", "drills"}
LONGEST = "test_faults.py"  # one verification for each seeded fault


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "lab: needs root and brings the embedded lab up on this machine")
    config.addinivalue_line("markers", "recordings: needs the recorded exchanges in ../shared; skipped without them")
    # The tests start ./invoke hundreds of times; with this, each start would compile the harness and its specs anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # A background job of a shell ignores Ctrl-C, and so would everything the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SideBySide:
    return SideBySide(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Side by side, what takes long begins first, so that no worker waits for the other at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, bool, bool]:
    is_of_lab = item.get_closest_marker("lab") is not None
    return item.path.name != LONGEST, not is_of_lab, item.path.parent.name not in LONG
