"""Take a form with a file apart while it arrives: fields in the order PVE's own web page sends them, then the file."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_ORDER = ("content", "checksum-algorithm", "checksum", "filename")
_PIECE = 1 << 16
_LONGEST_LINE = 8192


class Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class MultipartError(Exception):
    """Not what the server's parser knows: it closes the connection."""


@dataclass(frozen=True)
class Form:
    fields: dict[str, str]
    file: Path | None


def boundary_of(content_type: str) -> bytes | None:
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    return found[1].encode() if found and content_type.startswith("multipart/form-data") else None


def receive(source: Source, length: int, boundary: bytes) -> Form:
    """The fields before the file, and where the file was put; what comes behind the file does not count."""
    reader = _Reader(source, length)
    fields: dict[str, str] = {}
    position = -1
    if reader.line() != b"--" + boundary:
        raise MultipartError("no boundary")
    while True:
        name, filename = _named(reader)
        if name not in _ORDER or _ORDER.index(name) <= position:
            raise MultipartError(f"{name} is out of order")
        position = _ORDER.index(name)
        if filename is not None:
            file = Path(f"/var/tmp/pveupload-{secrets.token_hex(16)}")  # noqa: S108 - where PVE puts it, by its own name
            _store(reader, file, boundary)
            return Form(fields | {"filename": filename, "tmpfilename": str(file)}, file)
        fields[name] = b"".join(reader.until(b"\r\n--" + boundary)).decode()
        if reader.line() == b"--":
            return Form(fields, None)


def _store(reader: _Reader, file: Path, boundary: bytes) -> None:
    """Nothing is left of an upload that breaks off."""
    try:
        with file.open("xb") as target:
            for piece in reader.until(b"\r\n--" + boundary):
                target.write(piece)
        reader.drain()
    except (MultipartError, OSError):
        file.unlink(missing_ok=True)
        raise


def _named(reader: _Reader) -> tuple[str, str | None]:
    """(name, file name) of the next part."""
    name, filename = "", None
    while header := reader.line():
        kind, _, value = header.decode("utf-8", "replace").partition(":")
        if kind.lower() == "content-disposition":
            found = re.search(r'\bname="([^"]*)"', value)
            name = found[1] if found else ""
            named = re.search(r'filename="([^"]*)"', value)
            filename = named[1] if named else None
    return name, filename


class _Reader:
    """No byte more than was announced is read from the connection."""

    def __init__(self, source: Source, length: int) -> None:
        self._source, self._left, self._held = source, length, b""

    def _more(self) -> bool:
        piece = self._source.read(min(_PIECE, self._left))
        self._left -= len(piece)
        self._held += piece
        return bool(piece)

    def line(self) -> bytes:
        while b"\r\n" not in self._held:
            if len(self._held) > _LONGEST_LINE or not self._more():
                raise MultipartError("a line without an end")
        line, _, self._held = self._held.partition(b"\r\n")
        return line

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Everything before the mark; the mark itself is taken away."""
        while (at := self._held.find(mark)) < 0:
            ready = max(0, len(self._held) - len(mark))
            if ready:
                yield self._held[:ready]
                self._held = self._held[ready:]
            if not self._more():
                raise MultipartError("the end is missing")
        if at:
            yield self._held[:at]
        self._held = self._held[at + len(mark) :]

    def drain(self) -> None:
        while self._more():
            self._held = b""
