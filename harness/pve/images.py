"""Bring disk images to the hypervisor's import content: uploaded from here, or fetched by the node; always checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.pve.client import Client, Writer
from harness.pve.upid import Upid, parse_upid


@dataclass(frozen=True)
class ImageVolume:
    """An image as the node has it; `size_bytes` is that of the disk inside."""

    volid: str
    format: str
    size_bytes: int
    used_bytes: int


def volid_of(storage: str, name: str) -> str:
    return f"{storage}:import/{name}"


def upload(writer: Writer, node: str, storage: str, file: Path, name: str, *, algorithm: str, checksum: str) -> Upid:
    # PVE drops the connection when `checksum` stands before its algorithm, and knows no content when it comes last.
    fields = {"content": "import", "checksum-algorithm": algorithm, "checksum": checksum}
    return parse_upid(writer.upload(f"/nodes/{node}/storage/{storage}/upload", fields, file, name))


def download(writer: Writer, node: str, storage: str, url: str, name: str, *, algorithm: str, checksum: str) -> Upid:
    """The node fetches it; what is there already with this checksum is not fetched again."""
    wanted = {"content": "import", "url": url, "filename": name}
    checked = {"checksum-algorithm": algorithm, "checksum": checksum}
    return parse_upid(writer.post(f"/nodes/{node}/storage/{storage}/download-url", wanted | checked))


def size_at(client: Client, node: str, url: str) -> int | None:
    """How large the node finds the file at this address; None when the server does not say."""
    size = client.get(f"/nodes/{node}/query-url-metadata", {"url": url}).get("size")
    return int(size) if size is not None else None


def find(client: Client, node: str, storage: str, name: str) -> int | None:
    """The bytes of the file of that name in the import content; None when there is none."""
    wanted = volid_of(storage, name)
    entries = client.get(f"/nodes/{node}/storage/{storage}/content", {"content": "import"})
    return next((int(entry.get("size", 0)) for entry in entries if entry["volid"] == wanted), None)


def look_into(client: Client, node: str, storage: str, name: str) -> ImageVolume:
    """What qemu-img on the node says of it."""
    volid = volid_of(storage, name)
    said = client.get(f"/nodes/{node}/storage/{storage}/content/{volid}")
    return ImageVolume(volid, str(said.get("format", "")), int(said.get("size", 0)), int(said.get("used", 0)))


def running(client: Client, node: str, kind: str, vmid: int | None = None) -> list[Upid]:
    """Tasks of a kind that are at work now, as far as this credential may see tasks."""
    query = {"source": "active", "typefilter": kind, "vmid": vmid}
    entries = client.get(f"/nodes/{node}/tasks", query)
    return [parse_upid(entry["upid"]) for entry in entries if "endtime" not in entry]
