"""Read what a virtual machine writes to its serial port: whole lines, without what moves a cursor."""

from __future__ import annotations

import re
from pathlib import Path

# Where a cursor is put, a new line begins; colours and the rest say nothing.
_MOVES = re.compile(rb"\x1b\[\d*;?\d*[HfABEFd]|\r\n?")
_CONTROLS = re.compile(
    rb"\x1b(\[[0-?]*[ -/]*[@-~]|[()][0-9A-Za-z]|\][^\x07]*\x07|[=>cDEMH78])|[\x00-\x08\x0b-\x1f\x7f]"
)
_UNFINISHED = 4096  # a line as long as this is told in pieces

_PANIC = re.compile(r"Kernel panic - not syncing: (?P<why>.+)")
_NO_SYSTEM = re.compile(r"No bootable device|grub rescue>|error: no such device|Entering emergency mode")


def find_failure(line: str) -> str | None:
    """What this line says went wrong for good, whatever the machine was doing."""
    if panic := _PANIC.search(line):
        return f"its kernel panicked: {panic['why']}"
    return f"it does not start: {line}" if _NO_SYSTEM.search(line) else None


class SerialLog:
    """A file that QEMU appends to; it need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""

    def read(self) -> list[str]:
        """The lines that were finished since the last call."""
        *whole, self._rest = (self._rest + self._new()).split(b"\n")
        if len(self._rest) > _UNFINISHED:
            whole, self._rest = [*whole, self._rest], b""
        return [line for part in whole for line in clean(part)]

    def _new(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return b""
        self._offset += len(new)
        return new


def clean(raw: bytes) -> list[str]:
    """What a reader would see of a raw line; nothing, one line, or several where a cursor was moved."""
    plain = _CONTROLS.sub(b"", _MOVES.sub(b"\n", raw))
    lines = (line.rstrip() for line in plain.decode(errors="replace").split("\n"))
    return [line for line in lines if line.strip()]
