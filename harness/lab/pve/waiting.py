"""The only place of the simulator where time is spent doing nothing."""

from __future__ import annotations

import time
from collections.abc import Callable


def pause(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


def wait_until(reached: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> bool:
    """True as soon as `reached` is, False when it was not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not reached():
        if time.monotonic() >= deadline:
            return False
        pause(every_s)
    return True
