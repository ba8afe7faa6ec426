"""Remember, line by line, what PVE cannot tell: a clone in flight has no name, a guest taken apart says not why."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.contract import Contract
from harness.errors import Refused
from harness.observed import BegunClone, TakenApart

# The steps that begin with a whole guest and leave it stopped and unprotected, or gone, until another step ends that.
TAKING_APART = frozenset({"rebuild", "restore", "destroy"})


@dataclass(frozen=True)
class Journal:
    """One file of JSON lines per guest; a line is on disk before the request it speaks of is sent."""

    folder: Path

    def write(self, guest: str, vmid: int, step: str, **fields: str | int | None) -> None:
        line = json.dumps({"at": round(time.time(), 3), "guest": guest, "vmid": vmid, "step": step, **fields})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # A line cut short by a crash must not swallow the next one.
            with (self.folder / f"{guest}.jsonl").open("a+b") as file:
                glue = b"" if _ends_cleanly(file) else b"\n"
                file.write(glue + line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Refused(
                tried="write the journal",
                on=str(self.folder),
                happened=str(error),
                do="Make the state folder writable (MGMT_HARNESS_STATE names another one)",
            ) from error

    def lines(self, guest: str) -> list[dict[str, Any]]:
        """What was written for a guest, oldest first; a line that was cut short is left out."""
        path = self.folder / f"{guest}.jsonl"
        return list(_parse(path.read_text(errors="replace"))) if path.exists() else []

    def apart(self) -> Mapping[int, TakenApart]:
        """The guests that a rebuild, a restore or a destroy was begun on and that are not whole since, by VMID."""
        found: dict[int, TakenApart] = {}
        for path in sorted(self.folder.glob("*.jsonl")) if self.folder.is_dir() else ():
            apart: TakenApart | None = None
            for line in self.lines(path.stem):
                if line["step"] in TAKING_APART:
                    apart = TakenApart(line["guest"], line["vmid"], line["step"], line)
                elif line["step"] == "restoring" and apart is not None:
                    apart = replace(apart, emptied=True)
                elif line["step"] in {"clone", "restored"} and apart is not None:
                    apart = replace(apart, renewed=True)
                elif line["step"] in {"done", "put-back", "destroyed"}:
                    apart = None
            if apart is not None:
                found[apart.vmid] = apart
        return found

    def begun(self) -> Mapping[int, BegunClone]:
        """The clones that were asked for and are not known to have ended, by VMID."""
        found: dict[int, BegunClone] = {}
        for path in sorted(self.folder.glob("*.jsonl")) if self.folder.is_dir() else ():
            clone: BegunClone | None = None
            for line in self.lines(path.stem):
                if line["step"] in {"clone", "clone-upid"}:
                    clone = BegunClone(line["guest"], line["vmid"], line.get("upid"))
                elif line["step"] in {"cloned", "clone-failed", "done"}:
                    clone = None
            if clone is not None:
                found[clone.vmid] = clone
        return found


def journal_of(contract: Contract) -> Journal:
    """The site's own."""
    return Journal(contract.state_dir / "journal")


def _ends_cleanly(file: Any) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _parse(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict) and {"step", "guest", "vmid"} <= entry.keys():
            yield entry
