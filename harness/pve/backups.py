"""Read backups, make one, and have one restored. Each write is sent once and returns what PVE said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from harness.observed import ObservedGuest
from harness.pve import wire
from harness.pve.client import Client, Writer
from harness.pve.read import guest_of, read_permissions
from harness.pve.upid import Upid, parse_upid, read_log

# PVE's own name for what vzdump made of a VM: storage:backup/vzdump-qemu-130-2026_11_22-05_22_13.vma.zst
_NAME = re.compile(
    r"(?P<storage>[^:]+):backup/vzdump-qemu-(?P<vmid>\d+)-\d{4}_\d{2}_\d{2}-\d{2}_\d{2}_\d{2}\.vma(\.\w+)?"
)
_SAVED_DISK = re.compile(r"#qmdump#map:(\w+):")
# Minutes that a backup waits for another one on the node to end.
LOCK_WAIT_MIN = 5


@dataclass(frozen=True)
class Archive:
    """One backup of one VM; size and notes are None where the credential may only know that it is there."""

    volid: str
    vmid: int
    made_at: int  # seconds since the epoch, by the node's clock
    size_bytes: int | None
    notes: str | None
    protected: bool

    @property
    def storage(self) -> str:
        return self.volid.partition(":")[0]


@dataclass(frozen=True)
class Saved:
    """The configuration inside an archive, and the disks that were saved with it."""

    vm: ObservedGuest
    disks: frozenset[str]  # slots


def vmid_of(volid: str) -> int | None:
    """The VM an archive was made of, as its name says; None when it is no archive of a VM."""
    found = _NAME.fullmatch(volid)
    return int(found["vmid"]) if found else None


def read_archives(client: Client, node: str, storage: str) -> tuple[Archive, ...]:
    """The backups of VMs this credential may read, newest first; PVE leaves the others out without a word."""
    entries = client.get(f"/nodes/{node}/storage/{storage}/content", {"content": "backup"})
    return _newest_first(
        Archive(
            volid=str(entry["volid"]),
            vmid=vmid,
            made_at=int(entry["ctime"]),
            size_bytes=int(entry["size"]),
            notes=str(entry.get("notes", "")),
            protected=wire.parse_bool(entry.get("protected")),
        )
        for entry in entries
        if (vmid := vmid_of(str(entry["volid"]))) is not None
    )


def read_archives_of_nobody(client: Client, node: str, storage: str, vmid: int) -> tuple[Archive, ...]:
    """The same for a VM that is gone: only an administrator may read those, but a dry run of pruning names them."""
    return _kept(client, node, storage, vmid=vmid)


def read_kept(client: Client, node: str, storage: str) -> tuple[Archive, ...]:
    """Every backup of every VM on the storage, newest first, for a credential that may not read them.

    PVE leaves backups out of the content list without VM.Backup and Datastore.AllocateSpace, which could also make
    and remove some; a dry run of pruning names them to whoever may audit the storage.
    """
    read_permissions(client).need(f"/storage/{storage}", "Datastore.Audit", to="list the backups")
    return _kept(client, node, storage)


def _kept(client: Client, node: str, storage: str, **only: int) -> tuple[Archive, ...]:
    query = {"prune-backups": "keep-all=1", "type": "qemu", **only}
    entries = client.get(f"/nodes/{node}/storage/{storage}/prunebackups", query)
    return _newest_first(
        Archive(
            str(entry["volid"]), int(entry["vmid"]), int(entry["ctime"]), None, None, entry.get("mark") == "protected"
        )
        for entry in entries
        if "vmid" in entry  # a file that somebody renamed has none
    )


def read_saved(client: Client, node: str, volid: str) -> Saved:
    text = str(client.get(f"/nodes/{node}/vzdump/extractconfig", {"volume": volid}))
    return parse_saved(text, volid)


def parse_saved(text: str, volid: str) -> Saved:
    """The file as qemu-server writes it: notes in comment lines, keys, then snapshots, which are left out."""
    notes, config = [], dict[str, Any]()
    for line in text.splitlines():
        if line.startswith("["):
            break
        key, mark, value = line.partition(": ")
        if line.startswith("#"):
            notes += [] if line.startswith("#qmdump#") else [unquote(line[1:])]
        elif mark:
            config[key] = value.strip()
    vm = guest_of(vmid_of(volid) or 0, config | {"description": "\n".join(notes)}, "saved", f"the backup {volid}")
    return Saved(vm, frozenset(_SAVED_DISK.findall(text)))


def read_clock(client: Client, node: str) -> int:
    """The node's own time: backups and tasks are stamped with it."""
    return int(client.get(f"/nodes/{node}/time")["time"])


def back_up(writer: Writer, node: str, vmids: Sequence[int], *, storage: str, notes: str) -> Upid:
    """One task for all of them, one after the other. Nothing is pruned: that is the backup job's to do."""
    answer = writer.post(
        f"/nodes/{node}/vzdump",
        {
            "vmid": ",".join(map(str, vmids)),
            "storage": storage,
            "mode": "snapshot",
            "compress": "zstd",
            "notes-template": notes,
            "remove": False,
            "lockwait": LOCK_WAIT_MIN,
        },
    )
    return parse_upid(answer)


@dataclass(frozen=True)
class Told:
    """What a backup task's log says of each VM: those it has ended well, and the others with its words."""

    finished: frozenset[int]
    failed: Mapping[int, str]


def read_told(client: Client, upid: Upid) -> Told:
    return parse_told(read_log(client, upid))


def parse_told(log: Sequence[str]) -> Told:
    finished = (found[1] for line in log if (found := re.match(r"INFO: Finished Backup of VM (\d+) ", line)))
    failed = (found for line in log if (found := re.match(r"ERROR: (Backup of VM (\d+) failed - .*)", line)))
    return Told(frozenset(map(int, finished)), {int(found[2]): found[1] for found in failed})


def delete(writer: Writer, node: str, archive: Archive) -> Upid | None:
    """None when PVE had done it before it answered."""
    answer = writer.delete(f"/nodes/{node}/storage/{archive.storage}/content/{archive.volid}")
    return parse_upid(answer) if answer else None


def restore(
    writer: Writer,
    node: str,
    vmid: int,
    volid: str,
    *,
    over: bool,
    unique: bool,
    pool: str | None,
    changes: Mapping[str, Any],
) -> Upid:
    """`over` replaces a VM that is there; `changes` stand in place of what the archive says, from the first moment."""
    parameters = {"vmid": vmid, "archive": volid, "pool": pool, "force": over or None, "unique": unique or None}
    return parse_upid(writer.post(f"/nodes/{node}/qemu", {**parameters, **changes}))


def running_backups(client: Client, node: str) -> list[tuple[Upid, frozenset[int]]]:
    """Each backup task that runs now, with the VMs its log names so far; a task of several VMs names none itself."""
    entries = client.get(f"/nodes/{node}/tasks", {"source": "active", "typefilter": "vzdump"})
    upids = [parse_upid(entry["upid"]) for entry in entries if "endtime" not in entry]
    return [(upid, _vms_of(client, upid)) for upid in upids]


def _vms_of(client: Client, upid: Upid) -> frozenset[int]:
    if upid.id.isdigit():
        return frozenset({int(upid.id)})
    return frozenset(
        int(number)
        for line in read_log(client, upid)
        for number in re.findall(r"(?:Starting Backup of VM |starting new backup job: vzdump )(\d+)", line)
    )


def _newest_first(archives: Iterable[Archive]) -> tuple[Archive, ...]:
    return tuple(sorted(archives, key=lambda archive: archive.made_at, reverse=True))
