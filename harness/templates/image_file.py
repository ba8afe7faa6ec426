"""Look at an image here before it travels: whole, of its kind, and exactly the one that is declared."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from string import hexdigits

from harness.contract import Declared, Image
from harness.errors import HarnessError, Invalid, Missing

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQI")  # up to refcount_table_clusters
_CHUNK = 1 << 20
_ALGORITHM_BY_DIGITS = {64: "sha256", 128: "sha512"}


@dataclass(frozen=True)
class ImageFile:
    path: Path
    size_bytes: int


def with_checksum(image: Image) -> Image:
    """The image with the checksum that its file of sha256sum says, if the inventory itself does not say it."""
    file = image.checksum_file
    if file is None:
        return image
    try:
        said = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        happened = str(getattr(error, "strerror", None) or error)
        do = "Put it there: whoever makes the image writes it with sha256sum"
        raise Missing(tried="read the image's checksum", on=str(file), happened=happened, do=do) from error
    algorithm = _ALGORITHM_BY_DIGITS.get(len(said[0])) if said else None
    if algorithm is None or set(said[0]) - set(hexdigits):
        do = "Write it with sha256sum or sha512sum"
        raise Invalid(tried="read the image's checksum", on=str(file), happened="it begins with no checksum", do=do)
    return replace(image, algorithm=algorithm, checksum=said[0].lower())


def check_file(image: Image, declared: Declared) -> ImageFile:
    """The file behind a declared image; HarnessError with what is wrong with it."""
    path = image.file
    if path is None or not path.is_file():
        raise Missing(
            tried="read the template's image",
            on=str(path),
            happened="there is no such file",
            do=f"Put it there, or correct image.file in {declared}",
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as content:
            wrong = _wrong_header(content.read(_HEADER.size), size, image.format)
            content.seek(0)
            found = "" if wrong else _digest(content, image.algorithm)
    except OSError as error:
        do = "Make it readable for this user"
        raise Missing(tried="read the template's image", on=str(path), happened=str(error), do=do) from error
    if wrong:
        raise _refused(path, wrong, "Fetch or build it again")
    if found != image.checksum:
        said = f"its {image.algorithm} is {found} ({size} bytes), declared is {image.checksum}"
        raise _refused(path, said, f"Fetch it again (it may be cut short), or correct image.checksum in {declared}")
    return ImageFile(path, size)


def _wrong_header(head: bytes, size: int, form: str) -> str | None:
    """What shows in the first bytes; the hypervisor's own qemu-img looks at the rest."""
    if size == 0:
        return "it is empty"
    is_qcow2 = head.startswith(_MAGIC)
    if form == "raw":
        return "it is a qcow2 image, though its name ends in .raw" if is_qcow2 else None
    return _wrong_qcow2(head, size) if is_qcow2 else "it is no qcow2 image"


def _wrong_qcow2(head: bytes, size: int) -> str | None:
    if len(head) < _HEADER.size:
        return f"it is cut short: {size} bytes are less than its header"
    _, _, backing, _, cluster_bits, virtual, _, l1_entries, l1_at, refcounts_at, refcount_clusters = _HEADER.unpack(
        head
    )
    if backing:
        return "it needs another image as its backing file, which no hypervisor takes"
    if virtual == 0:
        return "the disk in it has no size"
    needed = max(l1_at + 8 * l1_entries, refcounts_at + (refcount_clusters << cluster_bits))
    return f"it is cut short: its tables end at byte {needed}, the file at {size}" if needed > size else None


def _digest(content: object, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    while block := content.read(_CHUNK):  # type: ignore[attr-defined]
        digest.update(block)
    return digest.hexdigest()


def _refused(path: Path, happened: str, do: str) -> HarnessError:
    return Invalid(tried="take the template's image", on=str(path), happened=f"{happened}; nothing was changed", do=do)
