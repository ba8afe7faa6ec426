"""Read and write disk images: qcow2 with plain clusters, and raw; on the lab's disks lies a tar file of a file tree.

The lab's guests have no kernel and no boot loader of their own, so their disk carries the tree and no partitions.
"""

from __future__ import annotations

import os
import struct
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .failures import died

MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")  # version 3 up to the length of the header
_BITS = 16
_CLUSTER = 1 << _BITS
_ENTRIES = _CLUSTER // 8
_OFFSET = 0x00FFFFFFFFFFFE00  # of a table's entry; the top bits are flags
_COPIED, _COMPRESSED = 1 << 63, 1 << 62
_EXTERNAL_DATA = 1 << 2


@dataclass(frozen=True)
class Image:
    """What qemu-img info would say."""

    form: str
    virtual: int  # bytes the guest sees


def inspect(path: Path, form: str, shown: str) -> Image:
    """What the image is; refused, under the name `shown`, when it is none of that form or not to be trusted."""
    if form != "qcow2":
        return Image(form, path.stat().st_size)
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(MAGIC):
        raise died(f"qemu-img: Could not open '{shown}': Image is not in qcow2 format")
    fields = _HEADER.unpack(head)
    version, backing, virtual, incompatible = fields[1], fields[2], fields[5], fields[13]
    if backing:
        raise died(f"qcow2 file '{shown}' has backing file")
    if version >= 3 and incompatible & _EXTERNAL_DATA:
        raise died(f"qcow2 file '{shown}' has external data file")
    return Image(form, virtual)


def extract(path: Path, form: str, target: Path) -> bool:
    """Whether there is a file tree on the disk; it is in `target` then."""
    with path.open("rb") as source, target.open("wb") as file:
        if form == "qcow2":
            _copy_clusters(source, file)
        else:
            while piece := source.read(_CLUSTER):
                file.write(piece)
    return tarfile.is_tarfile(target)


def _copy_clusters(source: BinaryIO, target: BinaryIO) -> None:
    """Every cluster to its place; what is not there, or lies behind the file's end, reads as zeros."""
    fields = _HEADER.unpack(source.read(_HEADER.size))
    cluster, l1_size, l1_offset = 1 << fields[4], fields[7], fields[8]
    per_table = cluster // 8
    for index, table in enumerate(_table(source, l1_offset, l1_size)):
        for number, entry in enumerate(_table(source, table & _OFFSET, per_table) if table & _OFFSET else ()):
            if entry & _COMPRESSED:
                raise died("qemu-img: compressed clusters are nothing the simulator can read")
            if entry & _OFFSET:
                source.seek(entry & _OFFSET)
                target.seek((index * per_table + number) * cluster)
                target.write(source.read(cluster))


def _table(source: BinaryIO, offset: int, entries: int) -> tuple[int, ...]:
    source.seek(offset)
    return struct.unpack(f">{entries}Q", source.read(entries * 8).ljust(entries * 8, b"\0"))


def write(target: Path, content: Path | None, virtual: int) -> None:
    """A qcow2 file of that virtual size that begins with the bytes of `content`."""
    length = content.stat().st_size if content is not None else 0
    data = -(-length // _CLUSTER)
    tables = max(1, -(-data // _ENTRIES))
    l1_size = max(tables, -(-virtual // (_CLUSTER * _ENTRIES)))
    # Header, table and one block of reference counts, first table, second tables, data: one cluster each.
    first_data = 4 + tables
    head = (MAGIC, 3, 0, 0, _BITS, virtual, 0, l1_size, 3 * _CLUSTER, _CLUSTER, 1, 0, 0, 0, 0, 0, 4, _HEADER.size)
    with target.open("wb") as file:
        file.write(_HEADER.pack(*head).ljust(_CLUSTER, b"\0"))
        file.write(struct.pack(">Q", 2 * _CLUSTER).ljust(_CLUSTER, b"\0"))
        file.write(struct.pack(f">{first_data + data}H", *[1] * (first_data + data)).ljust(_CLUSTER, b"\0"))
        seconds = [(4 + number) * _CLUSTER | _COPIED for number in range(tables if data else 0)]
        file.write(struct.pack(f">{len(seconds)}Q", *seconds).ljust(_CLUSTER, b"\0"))
        entries = [(first_data + number) * _CLUSTER | _COPIED for number in range(data)]
        file.write(struct.pack(f">{data}Q", *entries).ljust(tables * _CLUSTER, b"\0"))
        for piece in _pieces(content):
            file.write(piece.ljust(_CLUSTER, b"\0"))


def _pieces(content: Path | None) -> Iterator[bytes]:
    if content is None:
        return
    with content.open("rb") as file:
        while piece := file.read(_CLUSTER):
            yield piece


def form_of(name: str) -> str:
    return os.path.splitext(name)[1].removeprefix(".")  # noqa: PTH122 - a name is no path
