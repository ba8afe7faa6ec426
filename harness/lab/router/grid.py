"""Answer a search as OPNsense's grids do: pages of rows, options by raw value with a label beside it, or by label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Fields = Mapping[str, str]
Labels = Mapping[str, Mapping[str, str]]  # field -> raw value -> label
Shape = Literal["raw", "label"]  # what stands under the field itself: recent releases, and 24.x

RECORD_SET_ROWS = 9999


def model_rows(entries: Mapping[str, Fields], labels: Labels, shape: Shape) -> list[dict[str, str]]:
    """A row for each entry of a model, with its uuid."""
    return [{"uuid": uuid, **_row(fields, labels, shape)} for uuid, fields in entries.items()]


def _row(fields: Fields, labels: Labels, shape: Shape) -> dict[str, str]:
    row: dict[str, str] = {}
    for name, value in fields.items():
        label = labels.get(name, {}).get(value)
        row[name] = value if label is None or shape == "raw" else label
        if label is not None and shape == "raw":
            row[f"%{name}"] = label
    return row


def page(rows: Sequence[Mapping[str, Any]], asked: Mapping[str, Any], *, default: int = -1) -> dict[str, Any]:
    """The rows that were asked for, in the envelope every grid has."""
    phrase = str(asked.get("searchPhrase") or "").lower()
    found = [row for row in rows if not phrase or any(phrase in str(value).lower() for value in row.values())]
    count, current = int(asked.get("rowCount") or default), int(asked.get("current") or 1)
    shown = found if count < 0 else found[(current - 1) * count : current * count]
    return {"total": len(found), "rowCount": len(shown), "current": current, "rows": shown}


def expanded(fields: Fields, labels: Labels) -> dict[str, Any]:
    """One entry as `get` shows it: an option field holds every option, and which one is selected."""
    return {
        name: {raw: {"value": label, "selected": int(raw == value)} for raw, label in labels[name].items()}
        if name in labels
        else value
        for name, value in fields.items()
    }
