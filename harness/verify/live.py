"""Show how far a run is: one moving line on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

from typing import Protocol

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from harness.verify.clauses import WHOLE
from harness.verify.stash import RECORD


class _Reporter(Protocol):
    """What pytest's own terminal reporter is to us: something to take away."""


class Live:
    """Stands in for pytest's terminal output."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("collecting", total=None)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        reporter: _Reporter | None = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_sessionstart(self) -> None:
        self._progress.start()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        record = session.config.stash[RECORD]
        guests = {spec.guest for spec in record.specs.values()} - {None}
        self._progress.update(self._task, total=len(session.items), description="looking at all hosts at once")
        if not self._console.is_terminal:
            what = f"{len(session.items)} checks, {len(guests)} guests"
            view = "" if record.profile == WHOLE else f" (profile {record.profile})"
            self._console.print(f"Site {record.contract.site}{view}: {what}", highlight=False)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._progress.update(self._task, description=nodeid.rpartition("::")[2])

    def pytest_runtest_logfinish(self) -> None:
        self._progress.advance(self._task)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self._progress.stop()
