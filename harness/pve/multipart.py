"""A form with a file in it, read while it is sent: an image of many gigabytes must not go through memory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import BinaryIO


class Multipart:
    """The fields in their order, then the file as the last one: PVE reads them in this order and no other."""

    def __init__(self, fields: Mapping[str, str], content: BinaryIO, name: str) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        before = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            for field, value in fields.items()
        )
        before += f'--{boundary}\r\nContent-Disposition: form-data; name="filename"; filename="{name}"\r\n'
        before += "Content-Type: application/octet-stream\r\n\r\n"
        size = os.fstat(content.fileno()).st_size
        self._parts: list[bytes | BinaryIO] = [before.encode(), content, f"\r\n--{boundary}--\r\n".encode()]
        self._length = len(before.encode()) + size + len(boundary) + 8

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """The next bytes, empty at the end; what http.client asks for while it sends."""
        while self._parts:
            part = self._parts[0]
            if isinstance(part, bytes):
                taken = part if size < 0 else part[:size]
                self._parts[0] = part[len(taken) :]
            else:
                taken = part.read(size)
            if taken:
                return taken
            self._parts.pop(0)
        return b""
