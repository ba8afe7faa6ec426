"""Show how far a run is: one moving line on a terminal, one plain line elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import pytest

from harness.printing import Out
from harness.verify.clauses import WHOLE
from harness.verify.stash import RECORD

if TYPE_CHECKING:
    from rich.console import Console


class _Reporter(Protocol):
    """What pytest's own terminal reporter is to us: something to take away."""


class Live:
    """Stands in for pytest's terminal output, and says once what is looked at."""

    def __init__(self, out: Out) -> None:
        self._out = out

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        reporter: _Reporter | None = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        record = session.config.stash[RECORD]
        guests = {spec.guest for spec in record.specs.values()} - {None}
        what = f"{len(session.items)} checks, {len(guests)} guests"
        view = "" if record.profile == WHOLE else f" (profile {record.profile})"
        self._out.print(f"Site {record.contract.site}{view}: {what}", markup=False)


class Moving(Live):
    """The same on a terminal, where the line moves, and is gone at the end."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=cast("Console", out),  # nothing else is a terminal
            transient=True,
        )
        self._task = self._progress.add_task("collecting", total=None)

    def pytest_sessionstart(self) -> None:
        self._progress.start()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._progress.update(self._task, total=len(session.items), description="looking at all hosts at once")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._progress.update(self._task, description=nodeid.rpartition("::")[2])

    def pytest_runtest_logfinish(self) -> None:
        self._progress.advance(self._task)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self._progress.stop()


def live(out: Out) -> Live:
    return Moving(out) if out.is_terminal else Live(out)
