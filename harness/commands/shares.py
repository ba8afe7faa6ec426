"""Show how much of each long step is done: a moving bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

EVERY_S = 10.0


class ShareProgress:
    """Steps by `say`, and by `share` how much of one is done, from 0 to 1."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._bars: dict[str, TaskID] = {}
        self._told: dict[str, float] = {}
        columns = (
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %", markup=False),
            TimeElapsedColumn(),
        )
        self._live = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)

    def __enter__(self) -> ShareProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._out.print(text, markup=False)

    def share(self, what: str, done: float) -> None:
        if self._out.is_terminal:
            self._move(what, done)
        elif time.monotonic() - self._told.setdefault(what, time.monotonic()) > EVERY_S:
            self._told[what] = time.monotonic()
            self._out.print(f"  {what}: {done * 100:.0f} %", markup=False)

    def _move(self, what: str, done: float) -> None:
        if what not in self._bars:
            self._bars[what] = self._live.add_task(what, total=1.0)
        self._live.update(self._bars[what], completed=done)
