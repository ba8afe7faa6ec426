"""Keep what the last drill of each kind showed, on disk: verify and the report speak of it long after."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

from harness.errors import Invalid, Refused

FORMAT = 1
# unfinished: it began, and whether what it changed is put back is not known. interrupted: it is, but nothing was shown.
Result = Literal["good", "bad", "interrupted", "unfinished"]


@dataclass(frozen=True)
class Observation:
    """One thing a drill saw; `good` is None where nothing was promised of it."""

    at_s: float  # since the drill began
    what: str
    seen: str
    wanted: str | None = None
    good: bool | None = None


@dataclass(frozen=True)
class Record:
    """One drill of a site, whole enough to be judged without the site."""

    drill: str
    clause: str
    site: str
    began: datetime
    result: Result
    message: str
    ended: datetime | None = None
    seconds: float | None = None
    evidence: tuple[Observation, ...] = ()
    left: tuple[str, ...] = ()  # what could not be put back
    last_good: datetime | None = None  # when the latest good one ended, this one included
    undo: Mapping[str, str] = field(default_factory=dict)  # what mending needs to know, should the drill be cut off

    def render(self) -> dict[str, Any]:
        """JSON's own types."""
        fields = asdict(self) | {"format": FORMAT, "evidence": [asdict(one) for one in self.evidence]}
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in fields.items()}


def read_record(state_dir: Path, drill: str) -> Record | None:
    """The last drill of that name; None when there has been none."""
    path = _path(state_dir, drill)
    try:
        return _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as broken:
        raise Invalid(
            tried="read the last drill",
            on=str(path),
            happened=f"it is no record of a drill ({broken})",
            do=f"Remove that file, and run the drill {drill} again",
        ) from broken


def write_record(state_dir: Path, record: Record) -> None:
    """Whole or not at all: a drill may be killed at any moment."""
    path = _path(state_dir, record.drill)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(record.render(), file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise Refused(
            tried="keep the drill's result",
            on=str(path),
            happened=str(error),
            do="Make the state folder writable (MGMT_HARNESS_STATE names another one)",
        ) from error


def folder_of(state_dir: Path) -> Path:
    """Where the records of a site are."""
    return state_dir / "drills"


def _path(state_dir: Path, drill: str) -> Path:
    return folder_of(state_dir) / f"{drill}.json"


def _parse(said: Mapping[str, Any]) -> Record:
    if said["format"] != FORMAT:
        raise ValueError(f"format {said['format']}, not {FORMAT}")
    if said["result"] not in get_args(Result):
        raise ValueError(f"the result {said['result']!r}")
    return Record(
        drill=said["drill"],
        clause=said["clause"],
        site=said["site"],
        began=datetime.fromisoformat(said["began"]),
        result=said["result"],
        message=said["message"],
        ended=_moment(said["ended"]),
        seconds=said["seconds"],
        evidence=tuple(Observation(**one) for one in said["evidence"]),
        left=tuple(said["left"]),
        last_good=_moment(said["last_good"]),
        undo=said["undo"],
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
