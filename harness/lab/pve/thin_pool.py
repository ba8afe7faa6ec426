"""What a thin pool has besides room for data: room for the map of it, which fills up as well and is as fatal."""

from __future__ import annotations

from .call import Call, Route
from .path_params import NODE
from .rights import perm
from .storage import thin_metadata


def _pools(call: Call) -> object:
    """GET disks/lvmthin: the only place of the API that shows the metadata."""
    storages = call.sim.storages
    found = []
    for name in storages.names():
        record = storages.config(name)
        if record["type"] == "lvmthin":
            status = storages.status(name)
            size, used = thin_metadata(record, status["total"], storages.on(name).values())
            item = {"lv": record["thinpool"], "vg": record["vgname"], "lv_size": status["total"]}
            found.append(item | {"used": status["used"], "metadata_size": size, "metadata_used": used})
    return found


ROUTES = (Route("GET", "/nodes/{node}/disks/lvmthin", _pools, NODE, perm("/", "Sys.Audit")),)
