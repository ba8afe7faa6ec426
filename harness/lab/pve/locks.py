"""The file locks of VM configurations: ten seconds of waiting, then PVE's complaint."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from .failures import died

WAIT_S = 10.0


class _Lock:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.readers = 0
        self.writer = False


class ConfigLocks:
    """One lock per VMID, as `/var/lock/qemu-server/lock-<vmid>.conf`; nothing of it survives the process."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._locks: dict[int, _Lock] = defaultdict(_Lock)

    @contextlib.contextmanager
    def exclusive(self, vmid: int, log: Callable[[str], None] | None = None, wait_s: float = WAIT_S) -> Iterator[None]:
        lock = self._locks[vmid]
        with lock.changed:
            self._wait(vmid, lock, lambda: lock.writer or lock.readers > 0, log, wait_s)
            lock.writer = True
        try:
            yield
        finally:
            with lock.changed:
                lock.writer = False
                lock.changed.notify_all()

    @contextlib.contextmanager
    def shared(self, vmid: int, log: Callable[[str], None] | None = None) -> Iterator[None]:
        lock = self._locks[vmid]
        with lock.changed:
            self._wait(vmid, lock, lambda: lock.writer, log, WAIT_S)
            lock.readers += 1
        try:
            yield
        finally:
            with lock.changed:
                lock.readers -= 1
                lock.changed.notify_all()

    def _wait(
        self, vmid: int, lock: _Lock, is_taken: Callable[[], bool], log: Callable[[str], None] | None, wait_s: float
    ) -> None:
        if not is_taken():
            return
        if log is not None:
            log("trying to acquire lock...")
        deadline = time.monotonic() + wait_s * self._pace
        while is_taken():
            if not lock.changed.wait(max(0.0, deadline - time.monotonic())):
                raise died(f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
        if log is not None:
            log(" OK")
