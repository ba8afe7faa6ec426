"""Write and read backup archives: in one file the VM's configuration and everything that was on its disk.

Names and places are PVE's; what is inside is a tar file of ours, since nothing but a PVE node reads PVE's own format.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import time
import zlib
from collections.abc import Mapping
from pathlib import Path

from .failures import died

SUFFIXES = {"0": "vma", "1": "vma.lzo", "gzip": "vma.gz", "lzo": "vma.lzo", "zstd": "vma.zst"}
_CONFIG, _DISK = "qemu-server.conf", "drive"
# What each compression's program is called in the logs.
_UNPACKERS = {"vma.zst": "zstd -q -d -c", "vma.gz": "zcat", "vma.lzo": "lzop -d -c"}


def name_of(vmid: int, moment: float, compress: str) -> str:
    stamp = time.strftime("%Y_%m_%d-%H_%M_%S", time.localtime(moment))
    return f"vzdump-qemu-{vmid}-{stamp}.{SUFFIXES[compress]}"


def format_of(name: str) -> str:
    """`vma.zst`: everything behind the time stamp."""
    return name.partition(".")[2]


def write(target: Path, config: str, disk: Path | None) -> None:
    """The archive as it will stay; whatever the suffix says, it is compressed by what Python has of its own."""
    squeezed = format_of(target.name.removesuffix(".dat")) != "vma"
    text = config.encode()
    with tarfile.open(target, "w:gz", compresslevel=1) if squeezed else tarfile.open(target, "w") as archive:
        entry = tarfile.TarInfo(_CONFIG)
        entry.size, entry.mtime = len(text), int(time.time())
        archive.addfile(entry, io.BytesIO(text))
        if disk is not None:
            archive.add(disk, _DISK)


def read_config(path: Path) -> str:
    """It comes first, so it can be read where the rest is damaged."""
    try:
        with tarfile.open(path) as archive:
            entry = archive.next()
            source = archive.extractfile(entry) if entry is not None else None
            if source is None:
                raise died("vma: unable to open archive: not a vma file")
            return source.read().decode()
    except FileNotFoundError as error:
        raise died(f"vma: failed to open '{path}': No such file or directory") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise died("vma: unable to open archive: not a vma file") from error


def extract_disk(path: Path, target: Path) -> bool:
    """Whether there was a disk in it; a damaged archive fails as vma does."""
    try:
        with tarfile.open(path) as archive:
            if _DISK not in archive.getnames():
                return False
            source = archive.extractfile(_DISK)
            assert source is not None  # noqa: S101 - it is a regular file, written above
            with target.open("wb") as file:
                shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise died("vma: restore failed - short vma extent") from error
    return True


def restore_command(path: str, pid: int) -> str:
    """The pipeline PVE runs, as its logs and errors show it."""
    unpacker = _UNPACKERS.get(format_of(Path(path).name))
    place = f"/var/tmp/vzdumptmp{pid}"  # noqa: S108 - only shown
    if unpacker is None:
        return f"vma extract -v -r {place}.fifo {path} {place}"
    return f"{unpacker} {path} | vma extract -v -r {place}.fifo - {place}"


def drive_map(config: str) -> Mapping[str, str]:
    """slot -> storage it was on, from the lines vzdump adds."""
    lines = [line.split(":") for line in config.splitlines() if line.startswith("#qmdump#map:")]
    return {parts[1]: parts[3] for parts in lines}
