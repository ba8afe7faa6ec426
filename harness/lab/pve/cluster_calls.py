"""The datacenter of a node that stands alone: one node, no quorum to lose, no HA, no replication."""

from __future__ import annotations

import hashlib
from typing import Any

from . import formats
from .call import Call, Route
from .failures import ApiError, bad_parameters
from .network import own_address
from .property_strings import PropertyFormat
from .resources import resources
from .rights import perm, root_only
from .schema import Param, integer, list_of, one_of, split_list, text
from .simulator import DEFAULT_MAC_PREFIX

_NEXT_ID = PropertyFormat({"lower": integer(100), "upper": integer(100)})
_LOWEST, _HIGHEST = 100, 1000000
EMPTY_DIGEST = hashlib.sha1(b"", usedforsecurity=False).hexdigest()


def _status(call: Call) -> object:
    address = call.sim.options.node_address or own_address(call.sim.interfaces()) or call.sim.options.address
    entry = {"type": "node", "id": f"node/{call.sim.node}", "name": call.sim.node, "ip": address}
    return [entry | {"nodeid": 0, "online": 1, "local": 1, "level": ""}]


def _next_id(call: Call) -> object:
    if "vmid" in call.params:
        if call.sim.configs.exists(call.vmid):
            raise bad_parameters({"vmid": f"VM {call.vmid} already exists"})
        return str(call.vmid)
    bounds = _NEXT_ID.parse(call.sim.state["options"].get("next-id", ""), "next-id")
    taken = set(call.sim.configs.vmids())
    for candidate in range(int(bounds.get("lower", _LOWEST)), int(bounds.get("upper", _HIGHEST))):
        if candidate not in taken:
            return str(candidate)
    raise ApiError(500, "unable to get any free VMID in range")


def _options(call: Call) -> object:
    """Auditors see everything, the others what the web interface needs."""
    stored = call.sim.state["options"]
    tags = {"allowed-tags": _allowed_tags(call)}
    if not call.may("/", "Sys.Audit"):
        return {key: stored[key] for key in ("console", "tag-style") if key in stored} | tags
    shown: dict[str, Any] = {"mac_prefix": DEFAULT_MAC_PREFIX, "description": ""} | dict(stored)
    if "next-id" in shown:
        shown["next-id"] = _NEXT_ID.parse(shown["next-id"], "next-id")
    return shown | tags


def _allowed_tags(call: Call) -> list[str]:
    configs = [
        call.sim.configs.record(vmid)["config"]
        for vmid in call.sim.configs.vmids()
        if call.may(f"/vms/{vmid}", "VM.Audit")
    ]
    return sorted({tag for config in configs for tag in split_list(config.get("tags", ""))})


def _set_options(call: Call) -> None:
    with call.sim.state.changing() as data:
        for key in split_list(call.params.get("delete", "")):
            data["options"].pop(key, None)
        data["options"] |= {key: value for key, value in call.sent.items() if key != "delete"}


def _nothing(call: Call) -> object:  # noqa: ARG001 - a stand-alone node has none of it
    return []


def _quorum(call: Call) -> object:
    return [{"id": "quorum", "type": "quorum", "node": call.sim.node, "status": "OK", "quorate": 1}]


def _manager(call: Call) -> object:
    return {"quorum": {"node": call.sim.node, "quorate": "1"}, "manager_status": {"node_status": {}}}


def _join(call: Call) -> object:  # noqa: ARG001 - nobody can join a node that stands alone
    raise ApiError(424, "node is not in a cluster, no join info available!", newline=False)


def _tasks(call: Call) -> object:
    """The 25 last tasks; tokens see none here, not even their own."""
    sees_all = call.may(f"/nodes/{call.sim.node}", "Sys.Audit")
    shown = [record for record in call.sim.tasks.all() if sees_all or record["user"] == call.user]
    return [_task(record) for record in shown[:25]]


def _task(record: dict[str, Any]) -> dict[str, Any]:
    keys = ("upid", "node", "type", "id", "user", "starttime", "endtime", "status", "tokenid")
    return {key: record[key] for key in keys if key in record} | {"saved": "1" if "endtime" in record else "0"}


def _firewall(call: Call) -> object:  # noqa: ARG001 - a fresh installation has set nothing
    return {"digest": EMPTY_DIGEST}


def _root_index(call: Call) -> object:  # noqa: ARG001 - the same for everybody
    return [{"subdir": name} for name in ("version", "cluster", "nodes", "storage", "access", "pools")]


_CLUSTER_INDEX = (
    "acme", "backup", "backup-info", "ceph", "config", "firewall", "ha", "jobs", "log", "mapping", "metrics",
    "notifications", "nextid", "options", "replication", "resources", "sdn", "status", "tasks",
)  # fmt: skip


def _cluster_index(call: Call) -> object:  # noqa: ARG001 - the same for everybody
    return [{"name": name} for name in _CLUSTER_INDEX]


_AUDIT = perm("/", "Sys.Audit")
_OPTIONS: dict[str, Param] = {
    "console": one_of("applet", "vv", "html5", "xtermjs"),
    "delete": list_of(formats.config_id),
    "description": text(longest=65536),
    "keyboard": text(),
    "language": text(),
    "mac_prefix": text(formats.mac_prefix),
    "max_workers": integer(1),
    "next-id": text(_NEXT_ID.check("next-id")),
}
_OPTIONS |= {
    name: text()
    for name in (
        "bwlimit", "consent-text", "crs", "email_from", "ha", "http_proxy", "migration", "notify", "registered-tags",
        "tag-style", "u2f", "user-tag-access", "webauthn",
    )
}  # fmt: skip
ROUTES = (
    Route("GET", "/", _root_index),
    Route("GET", "/cluster", _cluster_index),
    Route("GET", "/cluster/status", _status, {}, _AUDIT),
    Route("GET", "/cluster/resources", resources, {"type": one_of("vm", "storage", "node", "sdn")}),
    Route("GET", "/cluster/nextid", _next_id, {"vmid": integer(100, 999999999, check=formats.vmid)}),
    Route("GET", "/cluster/options", _options),
    Route("PUT", "/cluster/options", _set_options, _OPTIONS, perm("/", "Sys.Modify")),
    Route("GET", "/cluster/tasks", _tasks),
    Route("GET", "/cluster/ha/resources", _nothing, {"type": one_of("ct", "vm")}, _AUDIT),
    Route("GET", "/cluster/ha/groups", _nothing, {}, _AUDIT),
    Route("GET", "/cluster/ha/status/current", _quorum, {}, _AUDIT),
    Route("GET", "/cluster/ha/status/manager_status", _manager, {}, _AUDIT),
    Route("GET", "/cluster/replication", _nothing),
    Route("GET", "/cluster/config/nodes", _nothing, {}, _AUDIT),
    Route("GET", "/cluster/config/join", _join, {"node": text(formats.node)}, _AUDIT),
    Route("GET", "/cluster/firewall/options", _firewall, {}, _AUDIT),
    Route("GET", "/cluster/firewall/rules", _nothing, {}, _AUDIT),
    Route("GET", "/cluster/sdn/zones", _nothing),
    Route("GET", "/cluster/sdn/vnets", _nothing),
    Route("GET", "/cluster/backup-info", _nothing, {}, root_only),
)
