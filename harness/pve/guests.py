"""Change one VM: clone, configure, start. Each call is sent once and returns what PVE said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.pve.client import Client, Writer
from harness.pve.upid import Upid, parse_upid, read_log


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


def find_running_clone(client: Client, node: str, template: int, vmid: int) -> Upid | None:
    """The task that is cloning into `vmid` now. Its UPID names the template; only its log tells the new number."""
    query = {"source": "active", "typefilter": "qmclone", "vmid": template}
    mentions = re.compile(rf"\bvm-{vmid}-|/images/{vmid}/|with ID {vmid}\b")
    for entry in client.get(f"/nodes/{node}/tasks", query):
        upid = parse_upid(entry["upid"])
        if any(mentions.search(line) for line in read_log(client, upid)):
            return upid
    return None


def find_running_start(client: Client, node: str, vmid: int) -> Upid | None:
    query = {"source": "active", "typefilter": "qmstart", "vmid": vmid}
    entries = client.get(f"/nodes/{node}/tasks", query)
    return parse_upid(entries[0]["upid"]) if entries else None
