"""Storages and the volumes on them: names as PVE gives them, sizes, and an end to the space."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .failures import bad_parameters, died
from .state import State

GIB = 1024**3
_LARGEST_FILE = 16 * 1024 * GIB  # ext4
_LARGEST_SIZE = 2**63
FILE_TYPES = frozenset(("dir", "nfs", "cifs", "glusterfs", "cephfs", "btrfs"))
SHARED_TYPES = frozenset(("nfs", "cifs", "glusterfs", "cephfs", "pbs", "iscsi", "iscsidirect", "rbd", "zfs", "esxi"))
# Keys of the record that are no configuration of PVE's.
INTERNAL = frozenset(("total_bytes", "available_bytes"))
DEFAULT_CONTENT = {"dir": "images,rootdir,vztmpl,iso,backup,snippets", "nfs": "images", "lvmthin": "images,rootdir"}
# Where a directory keeps each kind of content; disks have a folder for each VM.
FOLDERS = {"backup": "dump", "iso": "template/iso", "vztmpl": "template/cache"}
Log = Callable[[str], None]


def unheard(line: str) -> None:
    """Where a synchronous call's output goes."""


class Storages:
    """Reads and changes `storages` and `volumes` of the state; change with its lock held."""

    def __init__(self, state: State, directory: Path) -> None:
        self._state, self._directory = state, directory

    def names(self) -> list[str]:
        return list(self._state["storages"])

    def config(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] | None = self._state["storages"].get(name)
        if record is None:
            raise died(f"storage '{name}' does not exist")
        return record

    def is_file_based(self, name: str) -> bool:
        return self.config(name)["type"] in FILE_TYPES

    def check_images(self, name: str) -> None:
        record = self.config(name)
        if "images" not in record["content"].split(",") or record.get("disable"):
            raise bad_parameters({"storage": f"storage '{name}' does not support vm images"})

    # -- space ----------------------------------------------------------------------------------------------------
    def status(self, name: str) -> dict[str, Any]:
        """What GET storage/{storage}/status answers; an inactive storage has no space at all."""
        record = self.config(name)
        enabled = 0 if record.get("disable") else 1
        total, available = self._space(name, record) if enabled else (0, 0)
        return {
            "type": record["type"],
            "content": record["content"],
            "shared": int(bool(record.get("shared")) or record["type"] in SHARED_TYPES),
            "enabled": enabled,
            "active": int(total > 0),
            "total": total,
            "used": total - available,
            "avail": available,
        }

    def _space(self, name: str, record: Mapping[str, Any]) -> tuple[int, int]:
        if record["type"] in SHARED_TYPES:
            return 0, 0  # nobody serves it
        if record["type"] == "lvmthin":
            total = int(record.get("total_bytes") or self._machine_bytes())
            available = total - self.used(name)
        else:
            path = Path(record["path"])
            if not path.is_dir():
                return 0, 0
            figures = os.statvfs(path)
            total, available = figures.f_blocks * figures.f_frsize, figures.f_bavail * figures.f_frsize
        return total, max(0, int(record.get("available_bytes", available)))

    def _machine_bytes(self) -> int:
        figures = os.statvfs(self._directory)
        return figures.f_blocks * figures.f_frsize

    def used(self, name: str) -> int:
        return sum(record["used"] for record in self._state["volumes"].values() if record["storage"] == name)

    # -- volumes --------------------------------------------------------------------------------------------------
    def volume(self, volid: str) -> dict[str, Any]:
        record: dict[str, Any] | None = self._state["volumes"].get(volid)
        if record is None:
            raise died(f"volume '{volid}' does not exist")
        return record

    def has(self, volid: str) -> bool:
        return volid in self._state["volumes"]

    def volumes_of(self, vmid: int) -> list[str]:
        return [volid for volid, record in self._state["volumes"].items() if record["vmid"] == vmid]

    def on(self, name: str) -> dict[str, dict[str, Any]]:
        return {volid: record for volid, record in self._state["volumes"].items() if record["storage"] == name}

    def path(self, volid: str) -> str:
        """Where the volume would lie on a real node: PVE's messages name it."""
        name, _, volume = volid.partition(":")
        record = self.config(name)
        if record["type"] not in FILE_TYPES:
            return f"/dev/{record.get('vgname', 'pve')}/{volume}"
        if re.match(r"\d+/", volume):
            return f"{record['path']}/images/{'/'.join(volume.split('/')[-2:])}"
        kind, _, file = volume.partition("/")
        return f"{record['path']}/{FOLDERS.get(kind, kind)}/{file}"

    def parse(self, volid: str) -> None:
        """The refusals for a volume name that cannot be one."""
        name, _, volume = volid.partition(":")
        if self.is_file_based(name):
            if not re.fullmatch(
                r"(\d+/[^/]+/)?\d+/[^/]+\.(raw|qcow2|vmdk)|(iso|vztmpl|backup|snippets|import)/[^/]+", volume
            ):
                raise died(f"unable to parse directory volume name '{volume}'")
        elif not re.fullmatch(r"(vm|base)-\d+-\S+", volume):
            raise died(f"unable to parse lvm volume name '{volume}'")

    def allocate(self, name: str, vmid: int, size: int, form: str | None, log: Log) -> str:
        """A new empty disk; its volume ID."""
        form = self._format(name, form, "raw")
        volid = self._next_name(name, vmid, form)
        if size >= _LARGEST_SIZE:
            limit = "Invalid image size specified. Must be between 0 and 9223372036854775807."
            raise died(f"unable to create image: qemu-img: {limit}")
        self._announce(volid, form, size, log)
        if form == "raw" and self.is_file_based(name) and size > _LARGEST_FILE:
            refusal = "The image size is too large for file format 'raw'"
            raise died(f"unable to create image: qemu-img: {self.path(volid)}: {refusal}")
        self._put(volid, vmid, size, 0, form)
        return volid

    def cloud_init(self, name: str, vmid: int, form: str | None, log: Log) -> str:
        form = self._format(name, form, "qcow2" if self.is_file_based(name) else "raw")
        tail = f"vm-{vmid}-cloudinit"
        volid = f"{name}:{vmid}/{tail}.{form}" if self.is_file_based(name) else f"{name}:{tail}"
        self._announce(volid, form, 4 * 1024**2, log)
        self._put(volid, vmid, 4 * 1024**2, 266240, form)
        return volid

    def linked(self, source: str, vmid: int, log: Log) -> str:
        """A clone that shares its base's blocks."""
        origin = self.volume(source)
        name = origin["storage"]
        volid = self._next_name(name, vmid, origin["format"])
        self._check_room(volid, 0)
        short, base = re.split("[:/]", volid)[-1], source.partition(":")[2]
        if self.is_file_based(name):
            log(f"clone {base}: images, {short}, {vmid} to {short} (base=../{base})")
            log(
                f"Formatting '{self.path(volid)}', fmt=qcow2 cluster_size=65536 extended_l2=off compression_type=zlib "
                f"size={origin['size']} backing_file=../{base} backing_fmt=qcow2 lazy_refcounts=off refcount_bits=16"
            )
            volid = f"{source}/{volid.partition(':')[2]}"
            self._put(volid, vmid, origin["size"], 200704, "qcow2", parent=f"../{base}")
        else:
            log(f'  Logical volume "{short}" created.')
            # A thin snapshot keeps no reference that PVE could see.
            self._put(volid, vmid, origin["size"], 0, origin["format"])
        self._state["volumes"][volid]["shared"] = written(origin)
        return volid

    def full_copy(self, source: str, vmid: int, target: str | None, form: str | None, log: Log) -> tuple[str, int]:
        """(volume ID, bytes to copy) of an independent copy; refuses when it does not fit."""
        origin = self.volume(source)
        name = target or origin["storage"]
        self.config(name)
        form = origin["format"] if form is None else form
        form = form if self.is_file_based(name) else "raw"
        volid = self._next_name(name, vmid, form)
        size = int(origin.get("virtual", origin["size"]))  # an image to import is smaller than the disk in it
        self._announce(volid, form, size, log)
        self._check_room(volid, written(origin))
        self._put(volid, vmid, size, written(origin), form)
        return volid, size

    def _check_room(self, volid: str, wanted: int) -> None:
        name = volid.partition(":")[0]
        _, available = self._space(name, self.config(name))
        if available > wanted:
            return
        record = self.config(name)
        if record["type"] == "lvmthin":
            pool = f"{record['vgname']}/{record['thinpool']}"
            volume = f"{record['vgname']}/{volid.partition(':')[2]}"
            raise died(
                f"lvcreate '{volume}' error:   Cannot create new thin volume, "
                f"free space in thin pool {pool} reached threshold."
            )
        raise died(f"unable to create image: qemu-img: {self.path(volid)}: No space left on device")

    def to_base(self, volid: str) -> str:
        """Rename a template's disk from vm- to base-."""
        base = re.sub(r"(^|[/:])vm-(\d+)-([^/]*)$", r"\1base-\2-\3", volid)
        self._state["volumes"][base] = self._state["volumes"].pop(volid)
        return base

    def put_file(self, volid: str, file: Path, **facts: Any) -> None:
        """Take a file that lies in its place into the books; a directory has no room but for its files."""
        name, _, volume = volid.partition(":")
        record = {"storage": name, "vmid": None, "size": file.stat().st_size, "parent": None}
        record |= {"ctime": int(time.time()), "used": file.stat().st_blocks * 512, "content": volume.partition("/")[0]}
        self._state["volumes"][volid] = record | facts

    def remove(self, volid: str, log: Log) -> None:
        name, _, volume = volid.partition(":")
        if self._state["volumes"].get(volid, {}).get("protected"):
            raise died(f"cannot remove protected volume '{volume}' on '{name}'")
        record = self._state["volumes"].pop(volid, None)
        if record is None:
            log(f"disk image '{self.path(volid)}' does not exist")
        elif record["content"] != "images":
            Path(self.path(volid)).unlink(missing_ok=True)
        elif not self.is_file_based(record["storage"]):
            log(f'  Logical volume "{volid.partition(":")[2]}" successfully removed.')

    def clones_of(self, volid: str) -> list[str]:
        """Volumes that name `volid` as their base (file storages only, as on a real node)."""
        return [other for other in self._state["volumes"] if other.startswith(f"{volid}/")]

    def _format(self, name: str, wanted: str | None, default: str) -> str:
        if wanted is not None and wanted != "raw" and not self.is_file_based(name):
            module = "LvmThinPlugin.pm line 88"
            raise died(f"unsupported format '{wanted}' at /usr/share/perl5/PVE/Storage/{module}.")
        return wanted or default

    def _next_name(self, name: str, vmid: int, form: str) -> str:
        taken = {volid.rsplit("/", 1)[-1].rpartition(":")[2].partition(".")[0] for volid in self.on(name)}
        number = next(n for n in range(1000) if not {f"vm-{vmid}-disk-{n}", f"base-{vmid}-disk-{n}"} & taken)
        tail = f"vm-{vmid}-disk-{number}"
        return f"{name}:{vmid}/{tail}.{form}" if self.is_file_based(name) else f"{name}:{tail}"

    def _announce(self, volid: str, form: str, size: int, log: Log) -> None:
        if not self.is_file_based(volid.partition(":")[0]):
            log(f'  Logical volume "{volid.partition(":")[2]}" created.')
        elif form == "raw":
            log(f"Formatting '{self.path(volid)}', fmt=raw size={size} preallocation=off")
        else:
            log(
                f"Formatting '{self.path(volid)}', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata "
                f"compression_type=zlib size={size} lazy_refcounts=off refcount_bits=16"
            )

    def _put(self, volid: str, vmid: int, size: int, used: int, form: str, *, parent: str | None = None) -> None:
        record = {"storage": volid.partition(":")[0], "vmid": vmid, "size": size, "used": used, "format": form}
        record |= {"ctime": int(time.time()), "content": "images", "parent": parent}
        self._state["volumes"][volid] = record

    def adopt(self, volid: str, vmid: int, size: int) -> None:
        """Take a volume a seeded configuration names into the books; a sixth of it counts as written."""
        form = volid.rpartition(".")[2] if re.search(r"\.(raw|qcow2|vmdk)$", volid) else "raw"
        self._put(volid, vmid, size, size // 6, form)


def written(volume: Mapping[str, Any]) -> int:
    """What a copy of the volume takes: its own blocks, and those it shares with its base."""
    return int(volume["used"]) + int(volume.get("shared", 0))


def format_size(size: int) -> str:
    """`160M`: the largest unit that leaves a whole number."""
    for unit in ("", "K", "M", "G"):
        if size % 1024 or not size:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}T"


def parse_size(text: str) -> int:
    """Bytes of `2G`, `1.5M`, `4096`."""
    factor = {"K": 1024, "M": 1024**2, "G": GIB, "T": 1024 * GIB}.get(text[-1:], 1)
    return int(float(text.rstrip("KMGT")) * factor)
