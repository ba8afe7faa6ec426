"""Look up what a report shows beside its run: earlier runs, what changed since, and how long the VMs took to build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.errors import HarnessError
from harness.report.builds import Build, read_builds
from harness.report.compare import Comparison, compare
from harness.report.history import Kept, look
from harness.report.model import Report
from harness.report.reading import Run, read_report

T = TypeVar("T")
NO_BUILDS: tuple[Build, ...] = ()


@dataclass(frozen=True)
class Background:
    """Nothing of it is needed for the verdict; `notes` says what of it could not be read."""

    earlier: tuple[Run, ...] = ()  # oldest first
    since: Comparison | None = None  # with the last green run, or the one that was named; None: there is none
    builds: tuple[Build, ...] = ()
    notes: tuple[str, ...] = ()


NOTHING = Background()


def look_back(state_dir: Path, report: Report) -> Background:
    """The background of `report` as it was when that run started."""
    history = look(state_dir).before(report.started_at)
    notes = list(history.unreadable)
    since = _noting(notes, lambda: _since(history.last_green, report), None)
    builds = _noting(notes, lambda: read_builds(state_dir), NO_BUILDS)
    declared = {guest.name for guest in report.guests}
    return Background(
        earlier=tuple(kept.run for kept in history.runs),
        since=since,
        builds=tuple(build for build in builds if build.guest in declared),
        notes=tuple(notes),
    )


def _since(green: Kept | None, report: Report) -> Comparison | None:
    """A run of a selection, or of another view, is held against the same clauses of the green run only."""
    if green is None:
        return None
    before = read_report(green.file)
    return compare(before, report, partial=bool(report.selection) or report.profile != before.profile)


def _noting(notes: list[str], read: Callable[[], T], otherwise: T) -> T:
    """A report without its background is still the report."""
    try:
        return read()
    except HarnessError as error:
        notes.append(str(error))
        return otherwise
