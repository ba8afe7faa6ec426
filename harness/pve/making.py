"""Make a VM of an image, turn it into a template, and take a VM away. Each call is sent once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.pve.client import Writer
from harness.pve.upid import Upid, parse_upid


def create(writer: Writer, node: str, vmid: int, config: Mapping[str, Any]) -> Upid:
    return parse_upid(writer.post(f"/nodes/{node}/qemu", {"vmid": vmid, **config}))


def convert(writer: Writer, node: str, vmid: int) -> Upid:
    """There is no way back by the API."""
    return parse_upid(writer.post(f"/nodes/{node}/qemu/{vmid}/template"))


def stop(writer: Writer, node: str, vmid: int) -> Upid:
    """Pull the plug."""
    return parse_upid(writer.post(f"/nodes/{node}/qemu/{vmid}/status/stop"))


def destroy(writer: Writer, node: str, vmid: int, *, purge: bool) -> Upid:
    """Only what its configuration names; `purge` also takes it out of backup jobs."""
    return parse_upid(writer.delete(f"/nodes/{node}/qemu/{vmid}", {"purge": purge}))
