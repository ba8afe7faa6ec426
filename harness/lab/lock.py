"""Let one process at a time bring the lab up or down."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import Unsafe
from harness.lab.paths import LOCK
from harness.wait import wait_until

PATIENCE_S = 120.0


@contextmanager
def one_at_a_time(lock: Path = LOCK, what: str = "the lab", patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lab's lock, or another one. The kernel frees it when its holder dies, so none can be left behind."""
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o644), "r+") as file:

        def take() -> tuple[bool | None, str]:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                return None, file.read().strip()
            return True, ""

        waited = wait_until(take, deadline_s=patience_s, first_pause_s=0.05)
        if waited.value is None:
            raise Unsafe(
                tried=f"change {what}",
                on="this machine",
                happened=f"process {waited.last_seen} has been changing it for more than {waited.seconds:.0f} s",
                do=f"Wait for it or end it: kill {waited.last_seen}",
            )
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
