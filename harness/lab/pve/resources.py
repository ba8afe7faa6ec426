"""What pvestatd broadcasts every ten seconds: the only thing cluster/resources and pools know about a VM's state."""

from __future__ import annotations

import threading
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from .failures import ApiError
from .host import cpus
from .vm_status import summary
from .waiting import pause

if TYPE_CHECKING:
    from .call import Call
    from .simulator import Simulator

EVERY_S = 10.0
_LIVE = ("lock", "tags")
_NOT_SHOWN = ("serial", "cpus", "pid", "template")


class Broadcasts:
    """The last round's figures; a VM that is younger has none, not even its name."""

    def __init__(self) -> None:
        self.is_regular = True  # False: only when a test asks for a round
        self._vms: dict[int, dict[str, Any]] = {}
        self._storages: dict[str, dict[str, Any]] = {}
        self._node: dict[str, Any] = {}

    def run(self, sim: Simulator) -> None:
        """Look once, then for ever in the background."""
        self.refresh(sim)

        def rounds() -> None:
            while True:
                pause(EVERY_S * sim.pace)
                if self.is_regular:
                    self.refresh(sim)

        threading.Thread(target=rounds, name="pvestatd", daemon=True).start()

    def refresh(self, sim: Simulator, blind_for: Set[int] = frozenset()) -> None:
        vms = {}
        for vmid in set(sim.configs.vmids()) - blind_for:
            try:
                with sim.state.lock:
                    vms[vmid] = _vm_figures(sim, vmid)
            except ApiError:
                continue  # gone since it was listed
        with sim.state.lock:
            storages = {name: sim.storages.status(name) for name in sim.storages.names()}
        self._vms, self._storages, self._node = vms, storages, _node_figures(sim)

    def vm(self, sim: Simulator, vmid: int) -> dict[str, Any]:
        item: dict[str, Any] = {"id": f"qemu/{vmid}", "type": "qemu", "node": sim.node, "vmid": vmid}
        figures = self._vms.get(vmid, {"status": "unknown"})
        return item | {key: value for key, value in figures.items() if key not in _LIVE}

    def storage(self, sim: Simulator, name: str) -> dict[str, Any]:
        record = sim.storages.config(name)
        figures = self._storages.get(name, {"total": 0, "used": 0, "active": 0, "shared": 0})
        item = {"id": f"storage/{sim.node}/{name}", "type": "storage", "node": sim.node, "storage": name}
        item |= {"plugintype": record["type"], "content": record["content"], "shared": figures["shared"]}
        item["status"] = "available" if figures["active"] else "unknown"
        return item | ({"maxdisk": figures["total"], "disk": figures["used"]} if figures["active"] else {})

    def node(self, sim: Simulator, *, audited: bool) -> dict[str, Any]:
        item = {"id": f"node/{sim.node}", "type": "node", "node": sim.node, "status": "online", "level": ""}
        return item | (self._node if audited else {})

    def members(self, sim: Simulator, pool: dict[str, Any], kind: str | None) -> list[dict[str, Any]]:
        """A pool's VMs and storages; VMs that do not exist are left out."""
        vms = [self.vm(sim, vmid) for vmid in sorted(pool["vms"]) if sim.configs.exists(vmid)]
        known = [name for name in pool["storage"] if name in sim.storages.names()]
        storages = [self.storage(sim, name) for name in known]
        return (vms if kind in {None, "qemu"} else []) + (storages if kind in {None, "storage"} else [])

    def pool(self, sim: Simulator, name: str) -> dict[str, Any]:
        """The sums over a pool's VMs."""
        item: dict[str, Any] = {"id": f"/pool/{name}", "type": "pool", "pool": name}
        vms = [self._vms[vmid] for vmid in sim.state["pools"][name]["vms"] if vmid in self._vms]
        running = [vm for vm in vms if vm["status"] == "running"]
        for key in ("maxmem", "maxcpu", "mem", "cpu") if running else ():
            item[key] = sum(vm[key] for vm in running)
        return item | ({"uptime": max(vm["uptime"] for vm in running)} if running else {})


def _vm_figures(sim: Simulator, vmid: int) -> dict[str, Any]:
    figures = summary(sim, vmid)
    kept = {key: value for key, value in figures.items() if key not in {*_NOT_SHOWN, "vmid"}}
    return kept | {"maxcpu": figures["cpus"], "template": figures.get("template", 0)}


def _node_figures(sim: Simulator) -> dict[str, Any]:
    status = sim.host.status()
    memory, rootfs = status["memory"], status["rootfs"]
    figures = {"maxcpu": cpus(), "cpu": status["cpu"], "uptime": status["uptime"]}
    figures |= {"maxmem": memory["total"], "mem": memory["used"]}
    return figures | {"maxdisk": rootfs["total"], "disk": rootfs["used"]}


def resources(call: Call) -> object:
    """GET /cluster/resources: pools, VMs, the node, storages and the local network, as far as the caller may see."""
    sim, kind = call.sim, call.params.get("type")
    shown = sim.broadcasts
    items: list[dict[str, Any]] = []
    if kind is None:
        pools = [name for name in sim.state["pools"] if call.may(f"/pool/{name}", "Pool.Audit")]
        items += [shown.pool(sim, name) for name in pools]
    if kind in {None, "vm"}:
        vmids = [vmid for vmid in sim.configs.vmids() if call.may(f"/vms/{vmid}", "VM.Audit")]
        items += [shown.vm(sim, vmid) | _membership(sim, vmid) | _live(sim, vmid) for vmid in vmids]
    if kind in {None, "node"}:
        item = shown.node(sim, audited=call.may(f"/nodes/{sim.node}", "Sys.Audit"))
        items.append(item | {"cgroup-mode": 2})
    if kind in {None, "storage"}:
        names = [name for name in sim.storages.names() if call.may_any(f"/storage/{name}", *_STORAGE)]
        items += [shown.storage(sim, name) for name in names if not sim.storages.config(name).get("disable")]
    if kind in {None, "sdn"} and call.may_any("/sdn/zones/localnetwork", "SDN.Audit", "SDN.Use"):
        zone = f"sdn/{sim.node}/localnetwork"
        items.append({"id": zone, "type": "sdn", "node": sim.node, "sdn": "localnetwork", "status": "ok"})
    return items


_STORAGE = ("Datastore.Audit", "Datastore.AllocateSpace")


def _live(sim: Simulator, vmid: int) -> dict[str, str]:
    """Two keys of the configuration are known everywhere at once."""
    config = sim.configs.record(vmid)["config"]
    return {key: config[key] for key in _LIVE if key in config}


def _membership(sim: Simulator, vmid: int) -> dict[str, str]:
    pools = sim.state["pools"].items()
    return next(({"pool": name} for name, pool in pools if vmid in pool["vms"]), {})
