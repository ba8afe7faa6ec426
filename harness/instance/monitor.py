"""Ask a running QEMU how it is, over its monitor's socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import Unreachable
from harness.nested.qmp import Qmp

# What `query-status` says, in the user's words.
SAID = {
    "io-error": "paused: a write to its disk failed, most often because this machine's disk is full",
    "guest-panicked": "stopped: its kernel panicked",
    "internal-error": "stopped: QEMU met an error of its own",
    "shutdown": "powered off",
}


@contextmanager
def open_monitor(path: Path) -> Iterator[Qmp]:
    """The monitor, for the length of a `with` block; it takes one client at a time."""
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(path))
            monitor = Qmp(channel.fileno(), channel.fileno())
            monitor.greet()
            yield monitor
    except OSError as error:
        raise Unreachable(
            tried="ask QEMU's monitor",
            on=str(path),
            happened=error.strerror or str(error) or "no answer",
            do="Look at it: ./invoke nested.status",
        ) from error


def read_state(path: Path) -> str:
    """`running`, or what keeps it from running."""
    with open_monitor(path) as monitor:
        state = str(monitor.execute("query-status")["status"])
    return SAID.get(state, state)
