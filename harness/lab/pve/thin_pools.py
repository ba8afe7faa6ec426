"""The node's LVM thin pools: how much of their data and of their metadata is in use."""

from __future__ import annotations

from .call import Call, Route
from .path_params import NODE
from .rights import perm

_CHUNK = 64 * 1024
_BYTES_PER_CHUNK = 64
# LVM makes the metadata large enough for every chunk of the data, and never smaller than this.
_LEAST_METADATA = 2 * 1024**2


def _list(call: Call) -> object:
    storages = call.sim.storages
    return [_pool(call, name) for name in storages.names() if storages.config(name)["type"] == "lvmthin"]


def _pool(call: Call, name: str) -> dict[str, object]:
    record, used = call.sim.storages.config(name), call.sim.storages.used(name)
    total = call.sim.storages.status(name)["total"]
    metadata = int(record.get("metadata_bytes", max(_LEAST_METADATA, total // _CHUNK * _BYTES_PER_CHUNK)))
    return {
        "lv": record["thinpool"],
        "vg": record["vgname"],
        "lv_size": total,
        "used": used,
        "metadata_size": metadata,
        "metadata_used": int(record.get("metadata_used_bytes", -(-used // _CHUNK) * _BYTES_PER_CHUNK)),
    }


ROUTES = (Route("GET", "/nodes/{node}/disks/lvmthin", _list, NODE, perm("/", "Sys.Audit")),)
