"""What a signal may cut off, and what it may not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Nothing that ends a program politely cuts this off; what is started in here inherits that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = {one: signal.signal(one, signal.SIG_IGN) for one in SIGNALS}
    try:
        yield
    finally:
        for one, handler in heard.items():
            signal.signal(one, handler)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """A lost terminal and a polite kill end this as Ctrl-C does: after undoing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    heard = {one: signal.signal(one, interrupt) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in heard.items():
            signal.signal(one, handler)
