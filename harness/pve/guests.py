"""Change one VM: clone, configure, start. Each call is sent once and returns what PVE said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.pve.client import Client, Writer
from harness.pve.upid import UNEXPECTED, Upid, parse_upid, read_log


def clone(
    writer: Writer,
    node: str,
    template: int,
    *,
    vmid: int,
    name: str,
    notes: str,
    pool: str | None,
    full: bool,
    storage: str | None,
) -> Upid:
    """Name and notes go along, so that the VM is never without its mark once its disk is there."""
    answer = writer.post(
        f"/nodes/{node}/qemu/{template}/clone",
        {"newid": vmid, "name": name, "description": notes, "pool": pool, "full": full, "storage": storage},
    )
    return parse_upid(answer)


def configure(writer: Writer, node: str, vmid: int, changes: Mapping[str, Any], *, digest: str) -> None:
    """PVE declines when the configuration is not the one `digest` was read with."""
    writer.put(f"/nodes/{node}/qemu/{vmid}/config", {**changes, "digest": digest})


def start(writer: Writer, node: str, vmid: int) -> Upid:
    return parse_upid(writer.post(f"/nodes/{node}/qemu/{vmid}/status/start"))


# Tasks to look through for one that was killed: a node makes few clones between two runs.
LOOK_BACK = 200
_NEW_VM = re.compile(r"\bvm-(\d+)-|with ID (\d+)")


@dataclass(frozen=True)
class RunningClone:
    """A clone in flight, or one that died so. Its UPID names the template; the new VMID shows in its log, later."""

    upid: Upid
    log: tuple[str, ...]

    def makes(self, vmid: int) -> bool:
        """Judged by the names of the new volumes."""
        mentions = re.compile(rf"\bvm-{vmid}-|/images/{vmid}/|with ID {vmid}\b")
        return any(mentions.search(line) for line in self.log)

    @property
    def makes_something_known(self) -> bool:
        numbers = {number for line in self.log for pair in _NEW_VM.findall(line) for number in pair if number}
        return bool(numbers - {self.upid.id})  # a log that begins with the template's own volumes says nothing yet


def running_clones(client: Client, node: str, template: int | None) -> list[RunningClone]:
    """The clones of this template (None: of any) that are being made now, as far as this credential may see tasks."""
    upids = _running(client, node, "qmclone", template)
    return [RunningClone(upid, read_log(client, upid)) for upid in upids]


def killed_clones(client: Client, node: str, template: int | None) -> list[RunningClone]:
    """This credential's own clones of the template that ended without a last line: killed, or without power."""
    query = {"source": "all", "typefilter": "qmclone", "vmid": template, "limit": LOOK_BACK}
    entries = client.get(f"/nodes/{node}/tasks", query)
    upids = [parse_upid(entry["upid"]) for entry in entries if entry.get("status") == UNEXPECTED]
    return [RunningClone(upid, read_log(client, upid)) for upid in upids if upid.user == client.who]


def running_start(client: Client, node: str, vmid: int) -> Upid | None:
    return next(iter(_running(client, node, "qmstart", vmid)), None)


def _running(client: Client, node: str, kind: str, vmid: int | None) -> list[Upid]:
    query = {"source": "active", "typefilter": kind, "vmid": vmid}
    entries = client.get(f"/nodes/{node}/tasks", query)
    return [parse_upid(entry["upid"]) for entry in entries if "endtime" not in entry]


def stop(writer: Writer, node: str, vmid: int) -> Upid:
    """At once, without asking the guest; a stopped VM stays so and the task ends well."""
    return parse_upid(writer.post(f"/nodes/{node}/qemu/{vmid}/status/stop"))


def destroy(writer: Writer, node: str, vmid: int, *, purge: bool) -> Upid:
    """The VM and the disks it names. Without `purge` backup jobs that name it keep doing so."""
    return parse_upid(writer.delete(f"/nodes/{node}/qemu/{vmid}", {"purge": True} if purge else {}))


def running_on(client: Client, node: str, vmid: int | None) -> list[Upid]:
    """Every task that works on this VM now (None: on any), as far as this credential may see tasks."""
    entries = client.get(f"/nodes/{node}/tasks", {"source": "active", "vmid": vmid})
    return [parse_upid(entry["upid"]) for entry in entries if "endtime" not in entry]


def known_tasks(client: Client, node: str, kind: str, vmid: int | None) -> list[Upid]:
    """The tasks of this kind on this VM (None: on any), running or ended; the newest first."""
    entries = client.get(f"/nodes/{node}/tasks", {"source": "all", "typefilter": kind, "vmid": vmid})
    return [parse_upid(entry["upid"]) for entry in entries]
