"""Let two that want the same file make it one after the other: the second finds it made."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import Unsafe
from harness.wait import wait_until

LONGEST_S = 4 * 3600.0  # another one may be making the very thing we want


@contextmanager
def one_at_a_time(lock: Path, *, tried: str) -> Iterator[None]:
    """The kernel frees the lock of whoever dies; Unsafe when somebody has held it for hours."""
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:

        def take() -> tuple[bool | None, str]:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None, "somebody builds it"
            return True, ""

        if wait_until(take, deadline_s=LONGEST_S, first_pause_s=0.2, longest_pause_s=2.0).value is None:
            raise Unsafe(
                tried=tried,
                on=str(lock),
                happened=f"another process has been at it for {LONGEST_S / 3600:.0f} hours",
                do=f"Find it and end it: fuser {lock}",
            )
        yield
