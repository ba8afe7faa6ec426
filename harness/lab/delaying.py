"""Carry Ethernet frames between two tap devices, each a fixed time late: the lab's longer cable.

A program of its own, with the standard library alone; the kernel's netem is not in every kernel, tap devices are.
The devices are gone with it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from pathlib import Path

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
LONGEST_FRAME = 65536
AT_ONCE = 64  # frames read from one side before the other has its turn
ROOM = 10_000  # frames on the way in one direction; what comes then is lost, as in a switch


class Line:
    """One direction of the cable: frames leave it in their order, each `delay_s` after it came."""

    def __init__(self, delay_s: float, room: int = ROOM) -> None:
        self._delay_s = delay_s
        self._room = room
        self._frames: deque[tuple[float, bytes]] = deque()

    def take(self, frame: bytes, now: float) -> None:
        if len(self._frames) < self._room:
            self._frames.append((now + self._delay_s, frame))

    def ready(self, now: float) -> list[bytes]:
        """The frames whose time has come; they are on the line no longer."""
        frames = []
        while self._frames and self._frames[0][0] <= now:
            frames.append(self._frames.popleft()[1])
        return frames

    @property
    def due(self) -> float | None:
        """When the next frame leaves."""
        return self._frames[0][0] if self._frames else None


def main(directory: Path, near: str, far: str, delay_s: float) -> None:
    """Make both devices, say so in `directory`, and carry until the end of this process."""
    ends = (_open_tap(near), _open_tap(far))
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    unfinished = directory / "pid.new"
    unfinished.write_text(f"{os.getpid()} {started}\n")
    unfinished.rename(directory / "pid")
    _carry(ends, (Line(delay_s), Line(delay_s)))


def _carry(ends: tuple[int, int], lines: tuple[Line, Line]) -> None:
    while True:
        dues = [line.due for line in lines if line.due is not None]
        patience = max(0.0, min(dues) - time.monotonic()) if dues else None
        readable, _, _ = select.select(ends, [], [], patience)
        for end, line in zip(ends, lines, strict=True):
            if end in readable:
                _read(end, line)
        for line, other in zip(lines, reversed(ends), strict=True):
            for frame in line.ready(time.monotonic()):
                _write(other, frame)


def _read(end: int, line: Line) -> None:
    for _ in range(AT_ONCE):
        try:
            line.take(os.read(end, LONGEST_FRAME), time.monotonic())
        except BlockingIOError:
            return


def _write(end: int, frame: bytes) -> None:
    try:
        os.write(end, frame)
    except OSError as error:
        if error.errno not in {errno.EIO, errno.ENOBUFS}:  # the other side is down, or full: the frame is lost
            raise


def _open_tap(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return end


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4]))
