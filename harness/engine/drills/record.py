"""Say how a drill ended, and keep what one that is under way still has to undo."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.contract import Contract, DrillName
from harness.errors import Refused

Verdict = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True)
class Record:
    """One drill that was run; `at` is when it ended, by this machine's clock."""

    drill: DrillName
    verdict: Verdict
    at: float
    seconds: float
    about: str  # the guest
    said: str  # what was proven, or what went wrong
    seen: dict[str, str]


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


def undo_of(contract: Contract, drill: DrillName) -> Undo:
    return Undo(contract.state_dir / "drills" / f"undo-{drill}.json")


def _unwritable(path: Path, error: OSError) -> Refused:
    return Refused(
        tried="keep the record of a drill",
        on=str(path),
        happened=str(error),
        do="Make the state folder writable (MGMT_HARNESS_STATE names another one)",
    )
