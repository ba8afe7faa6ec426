"""Keep when each drill was run and how it ended, and what a drill that is under way still has to undo."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.contract import Contract, Drill
from harness.errors import Refused

Verdict = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True)
class Record:
    """One drill that was run; `at` is when it ended, by this machine's clock."""

    drill: Drill
    verdict: Verdict
    at: float
    seconds: float
    about: str  # the guest
    said: str  # what was proven, or what went wrong
    seen: dict[str, str]


def keep(contract: Contract, record: Record) -> None:
    """One line more; nothing that was recorded is changed."""
    path = _records(contract)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(asdict(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error


def records(contract: Contract) -> tuple[Record, ...]:
    """Oldest first; a line that was cut short is left out."""
    path = _records(contract)
    return tuple(_parse(path.read_text().splitlines())) if path.exists() else ()


def last(contract: Contract, drill: Drill) -> Record | None:
    return next((one for one in reversed(records(contract)) if one.drill == drill), None)


def last_good(contract: Contract, drill: Drill) -> Record | None:
    return next((one for one in reversed(records(contract)) if (one.drill, one.verdict) == (drill, "pass")), None)


@dataclass(frozen=True)
class Undo:
    """What is to be undone of a drill, on disk before the drill's first change: whoever comes next can do it."""

    path: Path

    def write(self, **what: str) -> None:
        new = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("w") as file:
                json.dump(what, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def read(self) -> dict[str, str] | None:
        return json.loads(self.path.read_text()) if self.path.exists() else None

    def done(self) -> None:
        self.path.unlink(missing_ok=True)


def undo_of(contract: Contract, drill: Drill) -> Undo:
    return Undo(contract.state_dir / "drills" / f"undo-{drill}.json")


def _records(contract: Contract) -> Path:
    return contract.state_dir / "drills" / "records.jsonl"


def _parse(lines: list[str]) -> list[Record]:
    found = []
    for line in lines:
        try:
            fields: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        if fields.keys() == Record.__dataclass_fields__.keys():
            found.append(Record(**fields))
    return found


def _unwritable(path: Path, error: OSError) -> Refused:
    return Refused(
        tried="keep the record of a drill",
        on=str(path),
        happened=str(error),
        do="Make the state folder writable (MGMT_HARNESS_STATE names another one)",
    )
