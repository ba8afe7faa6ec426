"""Small disk images for tests: a qcow2 header with its tables, and a checksum that is right."""

from __future__ import annotations

import struct
from hashlib import sha256
from pathlib import Path

from harness.contract import Image

CLUSTER = 1 << 16


def qcow2(virtual: int = 4 << 30, *, backing: bool = False) -> bytes:
    """Header, refcount table, refcount block and first-level table, a cluster each; no data."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 512 if backing else 0, 8 if backing else 0, 16, virtual, 0, 8,
        3 * CLUSTER, CLUSTER, 1, 0, 0,
    )  # fmt: skip
    header += struct.pack(">QQQII", 0, 0, 0, 4, 104)
    refcounts = struct.pack(">Q", 2 * CLUSTER)
    block = struct.pack(">4H", 1, 1, 1, 1)
    return b"".join(part.ljust(CLUSTER, b"\0") for part in (header, refcounts, block, b""))


def image_of(
    file: Path | None = None, url: str | None = None, *, content: bytes | None = None, checksum: str | None = None
) -> Image:
    if checksum is None:
        data = content if content is not None else file.read_bytes() if file else b""
        checksum = sha256(data).hexdigest()
    return Image(
        file=file,
        url=url,
        algorithm="sha256",
        checksum=checksum,
        storage="local",
        memory_mib=4096,
        cores=4,
        cpu="host",
        bridge="vmbr0",
    )
