"""The node itself: what it is, what runs on it, what it is connected to."""

from __future__ import annotations

from typing import Any

from . import formats
from .call import Call, Route
from .cluster_calls import EMPTY_DIGEST
from .failures import bad_parameters
from .host import SERVICES
from .path_params import NODE, VM
from .rights import both, either, perm
from .schema import boolean, list_of, needed, one_of, text

_INDEX = (
    "aplinfo", "apt", "capabilities", "ceph", "certificates", "config", "disks", "dns", "firewall", "hardware", "hosts",
    "journal", "lxc", "migrateall", "netstat", "network", "qemu", "query-url-metadata", "replication", "report", "rrd",
    "rrddata", "scan", "services", "spiceshell", "startall", "status", "stopall", "storage", "subscription",
    "suspendall", "syslog", "tasks", "termproxy", "time", "version", "vncshell", "vzdump", "wakeonlan", "sdn",
)  # fmt: skip
_INTERFACE_TYPES = (
    "bridge", "bond", "eth", "alias", "vlan", "OVSBridge", "OVSBond", "OVSPort", "OVSIntPort", "vnet", "any_bridge",
    "any_local_bridge", "include_sdn",
)  # fmt: skip


def _version(call: Call) -> object:
    return call.sim.host.version()


def _nodes(call: Call) -> object:
    sim = call.sim
    audited = call.may(f"/nodes/{sim.node}", "Sys.Audit")
    return [sim.broadcasts.node(sim, audited=audited) | {"ssl_fingerprint": sim.host.fingerprint()}]


def _index(call: Call) -> object:  # noqa: ARG001 - the same for every node
    return [{"name": name} for name in _INDEX]


def _status(call: Call) -> object:
    return call.sim.host.status()


def _time(call: Call) -> object:
    return call.sim.host.time()


def _dns(call: Call) -> object:
    return call.sim.host.dns()


def _hosts(call: Call) -> object:
    return call.sim.host.hosts()


def _config(call: Call) -> object:  # noqa: ARG001 - nothing is set on a fresh node
    return {}


def _network(call: Call) -> object:
    """Bridges need a right on the local zone; the other interfaces are shown to everybody."""
    sim, wanted = call.sim, call.params.get("type")
    wanted = "bridge" if wanted in {"any_bridge", "any_local_bridge"} else wanted
    items = []
    for interface in sim.interfaces():
        if wanted not in {None, "include_sdn", interface["type"]}:
            continue
        if interface["type"] == "bridge":
            path = f"/sdn/zones/localnetwork/{interface['iface']}"
            if not call.may_any(path, "SDN.Audit", "SDN.Use"):
                continue
        items.append(interface)
    return items


def _interface(call: Call) -> object:
    for interface in call.sim.interfaces():
        if interface["iface"] == call.params["iface"]:
            return {key: value for key, value in interface.items() if key != "iface"}
    raise bad_parameters({"iface": "interface does not exist"})


def _services(call: Call) -> object:
    return call.sim.host.services()


def _service(call: Call) -> object:
    return call.sim.host.service(call.params["service"])


def _versions(call: Call) -> object:
    """dpkg's facts; where it has no pve-manager, the version the simulator was told stands in."""
    found: list[dict[str, Any]] = list(call.sim.host.packages.versions())
    version = call.sim.host.pve_version()
    manager = next((item for item in found if item["Package"] == "pve-manager"), None)
    if manager is None:
        manager = {"Package": "pve-manager", "Title": "Proxmox Virtual Environment Management Tools"}
        manager |= {"Description": "This package contains the Proxmox Virtual Environment management tools."}
        manager |= {"Section": "admin", "Priority": "optional", "Arch": "amd64", "Origin": "Proxmox"}
        manager |= {"Version": version, "OldVersion": version, "CurrentState": "Installed"}
        found.append(manager)
    facts = call.sim.host.version()
    manager["ManagerVersion"] = f"{facts['version']}/{facts['repoid']}"
    return found


def _subscription(call: Call) -> object:
    answer = {"status": "notfound", "message": "There is no subscription key"}
    answer["url"] = "https://www.proxmox.com/en/proxmox-virtual-environment/pricing"
    if call.may(f"/nodes/{call.sim.node}", "Sys.Audit"):
        answer["serverid"] = call.sim.host.fingerprint().replace(":", "")[:32]
    return answer


def _certificates(call: Call) -> object:
    return call.sim.host.certificates()


def _disks(call: Call) -> object:
    return call.sim.host.disks()


def _nothing(call: Call) -> object:  # noqa: ARG001 - there are no containers, jobs or rules
    return []


def _firewall(call: Call) -> object:
    """Whatever was set; a VM that does not exist has an empty one as well."""
    stored = call.sim.state["firewall"].get(_firewall_key(call), {})
    return {"digest": EMPTY_DIGEST} | stored


def _firewall_key(call: Call) -> str:
    return f"qemu/{call.vmid}" if "vmid" in call.params else "node"


def _set_firewall(call: Call) -> None:
    with call.sim.state.changing() as data:
        stored = data["firewall"].setdefault(_firewall_key(call), {})
        for key in call.params.get("delete", "").split(","):
            stored.pop(key, None)
        skipped = {"node", "vmid", "delete", "digest"}
        stored |= {key: value for key, value in call.params.items() if key not in skipped}


_AUDIT = perm("/nodes/{node}", "Sys.Audit")
_ROOT_AUDIT = perm("/", "Sys.Audit")
_POLICY = one_of("ACCEPT", "REJECT", "DROP")
_FIREWALL = {name: boolean() for name in ("dhcp", "enable", "ipfilter", "macfilter", "ndp", "radv", "nftables")}
_FIREWALL_CHANGE = _FIREWALL | {
    "policy_in": _POLICY,
    "policy_out": _POLICY,
    "delete": list_of(formats.config_id),
    "digest": text(longest=64),
}
_NODE = "/nodes/{node}"
_SERVICE = NODE | {"service": needed(one_of(*SERVICES))}
ROUTES = (
    Route("GET", "/version", _version),
    Route("GET", "/nodes", _nodes),
    Route("GET", _NODE, _index, NODE),
    Route("GET", f"{_NODE}/version", _version, NODE),
    Route("GET", f"{_NODE}/status", _status, NODE, _AUDIT),
    Route("GET", f"{_NODE}/time", _time, NODE, _AUDIT),
    Route("GET", f"{_NODE}/dns", _dns, NODE, _AUDIT),
    Route("GET", f"{_NODE}/hosts", _hosts, NODE, _ROOT_AUDIT),
    Route("GET", f"{_NODE}/config", _config, NODE | {"property": text()}, _ROOT_AUDIT),
    Route("GET", f"{_NODE}/network", _network, NODE | {"type": one_of(*_INTERFACE_TYPES)}, locked=False),
    Route(
        "GET",
        f"{_NODE}/network/{{iface}}",
        _interface,
        NODE | {"iface": needed(text(formats.interface))},
        _AUDIT,
        locked=False,
    ),
    Route("GET", f"{_NODE}/services", _services, NODE, _AUDIT, locked=False),
    Route("GET", f"{_NODE}/services/{{service}}/state", _service, _SERVICE, _AUDIT, locked=False),
    Route("GET", f"{_NODE}/apt/versions", _versions, NODE, _AUDIT, locked=False),
    Route("GET", f"{_NODE}/subscription", _subscription, NODE),
    Route("GET", f"{_NODE}/certificates/info", _certificates, NODE),
    Route(
        "GET",
        f"{_NODE}/disks/list",
        _disks,
        NODE | {"include-partitions": boolean(), "skipsmart": boolean(), "type": one_of("unused", "journal_disks")},
        either(_ROOT_AUDIT, both(_AUDIT)),
        locked=False,
    ),
    Route("GET", f"{_NODE}/lxc", _nothing, NODE),
    Route("GET", f"{_NODE}/replication", _nothing, NODE),
    Route("GET", f"{_NODE}/firewall/options", _firewall, NODE, _AUDIT),
    Route("GET", f"{_NODE}/firewall/rules", _nothing, NODE, _AUDIT),
    Route("GET", f"{_NODE}/qemu/{{vmid}}/firewall/rules", _nothing, VM, perm("/vms/{vmid}", "VM.Audit")),
    Route("GET", f"{_NODE}/qemu/{{vmid}}/firewall/options", _firewall, VM, perm("/vms/{vmid}", "VM.Audit")),
    Route(
        "PUT",
        f"{_NODE}/qemu/{{vmid}}/firewall/options",
        _set_firewall,
        VM | _FIREWALL_CHANGE,
        perm("/vms/{vmid}", "VM.Config.Network"),
    ),
)
