"""Do several reads at once, in threads that an interrupted program does not wait for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from harness.pve.client import IN_FLIGHT

Item = TypeVar("Item")
T = TypeVar("T")


def in_flight(read: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """The results in the order of `items`, as many at once as PVE has workers for; the first error is raised.

    An executor's threads would be joined when the process ends, and Ctrl-C would wait for a silent hypervisor.
    """
    numbered = list(enumerate(items))
    todo: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
    for entry in numbered:
        todo.put(entry)
    done: queue.SimpleQueue[tuple[int, T | None, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                number, item = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, read(item), None))
            except BaseException as error:  # raised again by the caller's thread
                done.put((number, None, error))

    for _ in range(min(IN_FLIGHT, len(numbered))):
        threading.Thread(target=work, daemon=True).start()
    results: dict[int, T] = {}
    try:
        for _ in numbered:
            number, value, error = done.get()
            if error is not None:
                raise error
            results[number] = value  # type: ignore[assignment]  # None only beside an error, or when T allows it
    finally:
        stop.set()
    return [results[number] for number, _ in numbered]
