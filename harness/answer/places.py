"""The countries and time zones the installer knows: those of ISO 3166 and of tzdata's zone.tab."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("places.tab")


@cache
def countries() -> frozenset[str]:
    """Two lowercase letters each."""
    return frozenset(row[0] for row in _rows())


@cache
def timezones() -> frozenset[str]:
    """Those of a country, and UTC, which belongs to none."""
    return frozenset(("UTC", *(zone for row in _rows() for zone in row[1:])))


@cache
def _rows() -> tuple[list[str], ...]:
    return tuple(line.split() for line in _TABLE.read_text().splitlines() if not line.startswith("#"))
