"""Show each guest's way live: one moving row a guest on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, cast

from harness.engine.events import Event
from harness.printing import Out

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


class GuestProgress:
    """`report` takes the events of a run, from any thread."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._rows: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._live = _rows(out) if out.is_terminal else None

    def __enter__(self) -> GuestProgress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def report(self, event: Event) -> None:
        with self._lock:
            if self._live is not None:
                self._move(self._live, event)
            elif event.state != "wait":
                self._print(event)

    def _print(self, event: Event) -> None:
        if event.state != "begin":
            self._out.print(render_line(event), markup=False)

    def _move(self, live: Progress, event: Event) -> None:
        if event.guest is None or event.state == "note":
            self._out.print(f"{event.guest or 'all guests'}: {event.text}", markup=False)
            return
        if event.guest not in self._rows:
            self._rows[event.guest] = live.add_task("", total=1, guest=event.guest)
        ended = event.state == "failed" or (event.step == "finish" and event.state == "done")
        live.update(self._rows[event.guest], description=event.text, completed=1 if ended else 0)


def _rows(out: Out) -> Progress:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.fields[guest]:<18}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    return Progress(*columns, console=cast("Console", out), transient=True)  # only a console is a terminal


def render_line(event: Event) -> str:
    """An event where nothing moves."""
    step = f" {event.step}" if event.step else ""
    state = "" if event.state == "note" else f" {event.state}"
    where = event.guest or "all guests"
    # Why a guest failed is said once, in the summary: ten guests often fail for one reason.
    text = "" if event.state == "failed" else f": {event.text}"
    return f"[{event.seconds:6.1f} s] {where}:{step}{state}{text}"
