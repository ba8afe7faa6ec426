"""Answer one HTTP POST on standard input and output, and keep its body: what the installer tells when it is done."""

# QEMU starts this for each connection that the installer makes to the address of its hook (guestfwd), so that
# nothing has to listen on this machine. The one argument is the file the body goes to.

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

LARGEST = 4 << 20


def receive(request: BinaryIO, response: BinaryIO, file: Path) -> None:
    """The body is there whole or not at all."""
    head = [request.readline().strip()]
    while head[-1]:
        head.append(request.readline().strip())
    size = _size(head)
    if not head[0].startswith(b"POST ") or size is None:
        _answer(response, b"400 Bad Request")
        return
    body = request.read(size)
    if len(body) != size:
        return  # it hung up
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(body)
    part.replace(file)
    _answer(response, b"200 OK")


def _size(head: list[bytes]) -> int | None:
    for line in head[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit() and int(value) <= LARGEST:
            return int(value)
    return None


def _answer(response: BinaryIO, status: bytes) -> None:
    response.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    response.flush()


if __name__ == "__main__":
    os.umask(0o077)
    receive(sys.stdin.buffer, sys.stdout.buffer, Path(sys.argv[1]))
