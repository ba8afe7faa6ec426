"""Read the table that `show dhcp server leases` prints. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.errors import Refused
from harness.routers.observed import Lease

_DURATION = re.compile(r"(?:(\d+) days?, )?(\d+):(\d{2}):(\d{2})")


def parse_leases(text: str, *, now: float, on: str) -> Iterator[Lease]:
    """The active ones. Columns are found by the rule below their names: cells may be empty and names hold blanks.

    When a lease ends is told by what remains of it: the dates are in the router's own time zone.
    """
    lines = text.splitlines()
    ruled = next((at for at, line in enumerate(lines) if line and set(line) <= {"-", " "}), None)
    if ruled is None:
        if not text.strip():
            return
        raise Refused(
            tried="read the leases",
            on=on,
            happened=f"`show dhcp server leases` prints no table but {lines[0][:80]!r}",
            do="Check that the DHCP server is configured and runs there",
        )
    spans = [found.span() for found in re.finditer(r"-+", lines[ruled])]
    names = _cells(lines[ruled - 1], spans)
    for line in lines[ruled + 1 :]:
        row = dict(zip(names, _cells(line, spans), strict=True))
        if row.get("State", "active") == "active" and row.get("IP Address"):
            yield _lease(row, now)


def _cells(line: str, spans: list[tuple[int, int]]) -> list[str]:
    """A cell reaches to the next column: the last one of a line may be longer than its rule."""
    starts = [start for start, _ in spans]
    return [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]


def _lease(row: dict[str, str], now: float) -> Lease:
    remaining = _DURATION.match(row.get("Remaining", ""))
    days, hours, minutes, seconds = (int(part or 0) for part in remaining.groups()) if remaining else (0, 0, 0, 0)
    expires = int(now) + ((days * 24 + hours) * 60 + minutes) * 60 + seconds if remaining else None
    return Lease(row.get("MAC address", "").lower(), row["IP Address"], row.get("Hostname") or None, expires)
