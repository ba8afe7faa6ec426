"""Talk to a QEMU over its monitor protocol, and hear its events."""

from __future__ import annotations

import json
import os
import select
import time
from collections import deque
from typing import Any

from harness.errors import HarnessError, Unreachable

ANSWER_S = 10.0
ON = "the virtual machine"


class Qmp:
    """One conversation, on descriptors that the caller closes."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._events: deque[dict[str, Any]] = deque()
        self._answers: deque[dict[str, Any]] = deque()
        self._rest = b""
        self.ended = False

    def greet(self) -> None:
        """QEMU speaks first; it then wants to know that we are no human."""
        self._await(tried="reach the monitor")
        self.execute("qmp_capabilities")

    def execute(self, name: str, **arguments: Any) -> Any:
        """What QEMU answers."""
        request = {"execute": name, "arguments": arguments} if arguments else {"execute": name}
        try:
            os.write(self._writer, json.dumps(request).encode() + b"\n")
        except BrokenPipeError as cause:
            raise self._gone(name) from cause
        answer = self._await(tried=name)
        if "error" in answer:
            happened = str(answer["error"].get("desc"))
            raise HarnessError(tried=f"have QEMU do {name}", on=ON, happened=happened, do="Look at its serial log")
        return answer["return"]

    def events(self) -> list[dict[str, Any]]:
        """Those that came since the last call; never blocks."""
        while not self.ended and self._is_readable(0.0):
            self._receive()
        heard = list(self._events)
        self._events.clear()
        return heard

    def _await(self, *, tried: str) -> dict[str, Any]:
        until = time.monotonic() + ANSWER_S
        while not self._answers:
            left = until - time.monotonic()
            if self.ended:
                raise self._gone(tried)
            if left <= 0:
                raise Unreachable(
                    tried=tried, on=ON, happened=f"QEMU said nothing for {ANSWER_S:.0f} s", do="Look at its serial log"
                )
            if self._is_readable(left):
                self._receive()
        return self._answers.popleft()

    def _gone(self, tried: str) -> Unreachable:
        return Unreachable(tried=tried, on=ON, happened="QEMU has ended", do="Look at its serial log")

    def _is_readable(self, timeout_s: float) -> bool:
        return bool(select.select([self._reader], [], [], timeout_s)[0])

    def _receive(self) -> None:
        new = os.read(self._reader, 65536)
        self.ended = not new
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            if line.strip():
                said = json.loads(line)
                (self._events if "event" in said else self._answers).append(said)
