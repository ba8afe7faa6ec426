"""Keep the whole runs of a site, newest last and not too many, and find one of them again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import to_json

from harness.errors import HarnessError, Missing
from harness.report.files import write_whole
from harness.report.model import Report, render_json
from harness.report.reading import Run, read_report, read_run

HTML = "report.html"  # the last run's, beside the history
KEPT = 30  # a run of the lab is about 0.7 MB


@dataclass(frozen=True)
class Kept:
    """A run in the history; `name` is when it started."""

    name: str
    file: Path
    run: Run


@dataclass(frozen=True)
class History:
    """The runs of one site on this machine, oldest first; `unreadable` says what could not be read, and why."""

    folder: Path
    runs: tuple[Kept, ...] = ()
    unreadable: tuple[str, ...] = ()

    def before(self, moment: datetime) -> History:
        """As it was when a run started."""
        return History(self.folder, tuple(kept for kept in self.runs if kept.run.started_at < moment), self.unreadable)

    @property
    def last_green(self) -> Kept | None:
        return next((kept for kept in reversed(self.runs) if kept.run.verdict == "pass"), None)

    def find(self, name: str) -> Report:
        """A run by `last`, `previous`, `green`, the start of its name, or the path of a JSON file."""
        if name.endswith(".json") or "/" in name:
            return read_report(Path(name).expanduser())
        return read_report(self._named(name).file)

    def _named(self, name: str) -> Kept:
        wanted = {"last": self.runs[-1:], "previous": self.runs[-2:-1], "green": (self.last_green,)}
        found = [kept for kept in wanted.get(name, self._starting_with(name)) if kept is not None]
        if len(found) == 1:
            return found[0]
        many = f"{len(found)} runs start with it" if found else "there is none"
        known = ", ".join(kept.name for kept in self.runs[-5:]) or "none yet; a whole verify makes one"
        raise Missing(
            tried=f"find the run {name!r}",
            on=str(self.folder),
            happened=many,
            do=f"Say last, previous, green, a file.json, or the start of one of: {known}",
        )

    def _starting_with(self, name: str) -> tuple[Kept, ...]:
        return tuple(kept for kept in self.runs if kept.name.startswith(name))


def keep(state_dir: Path, report: Report) -> Path:
    """Put a whole run into the history. The oldest leave it, but never the last green one."""
    folder = folder_of(state_dir)
    file = _free(folder, report.started_at)
    write_whole(file, to_json(render_json(report)).decode() + "\n")
    history = look(state_dir)
    for kept in history.runs[:-KEPT]:
        if kept != history.last_green:
            kept.file.unlink(missing_ok=True)
    return file


def look(state_dir: Path) -> History:
    """Every run that can be read; a file that cannot hides none of the others."""
    folder = folder_of(state_dir)
    runs, unreadable = [], []
    for file in sorted(folder.glob("*.json"), key=lambda file: file.stem):
        try:
            runs.append(Kept(file.stem, file, read_run(file)))
        except HarnessError as error:
            unreadable.append(str(error))
    return History(folder, tuple(runs), tuple(unreadable))


def folder_of(state_dir: Path) -> Path:
    return state_dir / "reports" / "history"


def _free(folder: Path, started_at: datetime) -> Path:
    """Named after the moment in UTC, so that the names are in the order of time."""
    name = started_at.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    file = folder / f"{name}.json"
    number = 1
    while file.exists():
        number += 1
        file = folder / f"{name}-{number}.json"
    return file
