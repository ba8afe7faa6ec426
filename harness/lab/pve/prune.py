"""Say which backups a retention keeps: the newest of each hour, day, week, month and year, group by group."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .property_strings import PropertyFormat
from .schema import boolean, integer

KEEP = PropertyFormat(
    {f"keep-{span}": integer(0) for span in ("last", "hourly", "daily", "weekly", "monthly", "yearly")}
    | {"keep-all": boolean()}
)
_SPANS = {
    "keep-last": "%s",
    "keep-hourly": "%Y/%m/%d %H",
    "keep-daily": "%Y/%m/%d",
    "keep-weekly": "%G/%V",
    "keep-monthly": "%Y/%m",
    "keep-yearly": "%Y",
}


def marks(backups: Mapping[str, Mapping[str, Any]], retention: str) -> dict[str, str]:
    """volume ID -> keep, remove or protected; protected ones count for nothing."""
    keep = KEEP.parse(retention, "prune-backups")
    found: dict[str, str] = {}
    for vmid in {record["vmid"] for record in backups.values()}:
        group = {volid: record for volid, record in backups.items() if record["vmid"] == vmid}
        protected = {volid for volid, record in group.items() if record.get("protected")}
        newest = sorted(group.keys() - protected, key=lambda volid: group[volid]["ctime"], reverse=True)
        kept = set(newest) if _keeps_all(keep) else _kept(newest, group, keep)
        found |= {
            volid: "protected" if volid in protected else "keep" if volid in kept else "remove" for volid in group
        }
    return found


def _keeps_all(keep: Mapping[str, str]) -> bool:
    return keep.get("keep-all") == "1" or not any(int(number) for key, number in keep.items() if key != "keep-all")


def _kept(newest: Sequence[str], group: Mapping[str, Mapping[str, Any]], keep: Mapping[str, str]) -> set[str]:
    """One span after the other; a time that an earlier span kept one of is not counted again."""
    kept: set[str] = set()
    for key, form in _SPANS.items():
        times = {volid: _time(form, volid, group[volid]["ctime"]) for volid in newest}
        had = {times[volid] for volid in kept}
        taken: set[str] = set()
        for volid in newest:
            if volid in kept or times[volid] in had | taken:
                continue
            if len(taken) >= int(keep.get(key, 0)):
                break
            taken.add(times[volid])
            kept.add(volid)
    return kept


def _time(form: str, volid: str, ctime: int) -> str:
    return volid if form == "%s" else time.strftime(form, time.localtime(ctime))
