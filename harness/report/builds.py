"""Keep how long each step took when a VM was last built, for the report to show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from harness.errors import Invalid
from harness.report.files import write_whole

if TYPE_CHECKING:
    from harness.engine.events import GuestResult

BUILT = ("created", "finished")


@dataclass(frozen=True)
class Build:
    """The last time a VM was made: how it was cloned, and the seconds of each step in their order."""

    guest: str
    outcome: str
    mode: str | None
    at: datetime
    seconds: Mapping[str, float]

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())


_BUILDS = TypeAdapter(tuple[Build, ...])


def remember_builds(state_dir: Path, results: Iterable[GuestResult], now: datetime) -> None:
    """Put the VMs that were made in the place of what was known of them; a run that made none changes nothing."""
    made = {result.guest: _build(result, now) for result in results if result.outcome in BUILT and result.seconds}
    if made:
        text = json.dumps([_plain(build) for build in (_known(state_dir) | made).values()], indent=1)
        write_whole(_file(state_dir), text + "\n")


def read_builds(state_dir: Path) -> tuple[Build, ...]:
    """In the order in which they were first made."""
    file = _file(state_dir)
    try:
        return _BUILDS.validate_json(file.read_bytes())
    except FileNotFoundError:
        return ()
    except ValidationError as error:
        raise Invalid(
            tried="read how long the VMs took to build",
            on=str(file),
            happened=str(error.errors(include_url=False)[0]["msg"]),
            do="Remove that file; the next provision that makes a VM writes it anew",
        ) from error


def _known(state_dir: Path) -> dict[str, Build]:
    try:
        return {build.guest: build for build in read_builds(state_dir)}
    except Invalid:
        return {}  # written anew, which is what its sentence promises


def _file(state_dir: Path) -> Path:
    return state_dir / "builds.json"


def _build(result: GuestResult, now: datetime) -> Build:
    seconds = {str(step): round(taken, 3) for step, taken in result.seconds.items()}
    return Build(result.guest, result.outcome, result.mode, now, seconds)


def _plain(build: Build) -> dict[str, object]:
    return asdict(build) | {"at": build.at.isoformat(timespec="seconds")}
