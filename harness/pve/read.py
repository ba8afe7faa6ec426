"""Read the hypervisor into values, and never take a list for complete that the token may not see whole."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import Refused
from harness.observed import (
    ObservedBridge,
    ObservedCluster,
    ObservedDisk,
    ObservedGuest,
    ObservedNode,
    ObservedStorage,
    ObservedThinPool,
)
from harness.pve import wire
from harness.pve.client import Client
from harness.pve.errors import Absent, BadParameters
from harness.pve.grants import advise_client
from harness.pve.parallel import in_flight


@dataclass(frozen=True)
class Permissions:
    """What the credential may do, as PVE computes it: path -> privilege -> whether it holds below the path, too."""

    who: str
    url: str
    granted: Mapping[str, Mapping[str, bool]]
    advise: Callable[[str, str], str]  # path and privilege -> what gives it

    def has(self, path: str, privilege: str) -> bool:
        """PVE lists each path with an entry of its own; below those, the nearest one above decides."""
        if path in self.granted:
            return privilege in self.granted[path]
        above = next((parent for parent in _parents(path) if parent in self.granted), None)
        return above is not None and self.granted[above].get(privilege, False)

    def need(self, path: str, privilege: str, *, to: str) -> None:
        """Refuse to look where an answer would be incomplete without saying so."""
        if not self.has(path, privilege):
            raise Refused(
                tried=to,
                on=self.url,
                happened=f"{self.who} lacks {privilege} on {path}, and PVE would answer with a shorter list instead of "
                "an error",
                do=self.advise(path, privilege),
            )


def read_permissions(client: Client) -> Permissions:
    answer = client.get("/access/permissions", cached=True)
    granted = {
        path: {name: wire.parse_bool(flag) for name, flag in privileges.items()} for path, privileges in answer.items()
    }
    return Permissions(
        client.who, client.url, granted, lambda path, privilege: advise_client(client, path, [privilege])
    )


def read_version(client: Client) -> str:
    """The version of the management stack that answers, such as 8.4.1; needs a valid credential and nothing else."""
    return str(client.get("/version", cached=True)["version"])


def read_node(client: Client, node: str) -> ObservedNode:
    path = f"/nodes/{node}/status"
    status = client.get(path, cached=True)
    cpu = status["cpuinfo"]
    return ObservedNode(
        name=node,
        pve_version=_manager_version(status),
        kernel=str(status.get("current-kernel", {}).get("release") or status.get("kversion", "")),
        memory_bytes=int(status["memory"]["total"]),
        cpu_model=str(cpu.get("model", "")),
        cpu_sockets=int(cpu.get("sockets", 1)),
        cpu_cores=int(cpu.get("cores", 1)),
        cpu_threads=int(cpu.get("cpus", 1)),
        hvm=wire.parse_bool(cpu.get("hvm")),
        source=f"GET {path}",
    )


def read_cluster(client: Client) -> ObservedCluster:
    read_permissions(client).need("/", "Sys.Audit", to="see whether the node stands alone")
    status = client.get("/cluster/status", cached=True)
    return ObservedCluster(
        nodes=tuple(entry["name"] for entry in status if entry["type"] == "node"),
        cluster_name=next((entry["name"] for entry in status if entry["type"] == "cluster"), None),
        ha_resources=tuple(entry["sid"] for entry in client.get("/cluster/ha/resources", cached=True)),
        ha_groups=tuple(entry["group"] for entry in client.get("/cluster/ha/groups", cached=True)),
        replication_jobs=tuple(entry["id"] for entry in client.get("/cluster/replication", cached=True)),
        sources=(
            "GET /cluster/status",
            "GET /cluster/ha/resources",
            "GET /cluster/ha/groups",
            "GET /cluster/replication",
        ),
    )


def read_guests(
    client: Client, node: str, *, pool: str | None = None, waiting: Container[int] = ()
) -> tuple[ObservedGuest, ...]:
    """Every VM of the node, or, for a credential that only sees a pool, every VM of that pool; by VMID.

    The list carries the live state; only the configurations are read one by one, those of VMs in `waiting` with the
    changes that wait for a restart.
    """
    permissions = read_permissions(client)
    if pool is None or not permissions.has(f"/pool/{pool}", "VM.Audit"):
        at = "/vms" if pool is None or client.purpose != "provision" else f"/pool/{pool}"
        if not permissions.has("/vms", "VM.Audit"):
            permissions.need(at, "VM.Audit", to="list the VMs")
    listed = sorted(client.get(f"/nodes/{node}/qemu"), key=lambda entry: int(entry["vmid"]))
    guests = in_flight(lambda entry: _guest_of_entry(client, node, entry, waiting), listed)
    return tuple(guest for guest in guests if guest is not None)


def sees_all_guests(client: Client) -> bool:
    return read_permissions(client).has("/vms", "VM.Audit")


def read_guest(client: Client, node: str, vmid: int, *, status: str | None = None) -> ObservedGuest | None:
    """One VM as it is now; None when it is not there. A pool's token is refused for VMs outside, there or not.

    With `status` the caller says what it knows of that, and only the configuration is asked for.
    """
    path = f"/nodes/{node}/qemu/{vmid}"
    try:
        config = client.get(f"{path}/config")
        status = status or str(client.get(f"{path}/status/current").get("status", "unknown"))
    except Absent:
        return None
    return guest_of(vmid, config, status, f"GET {path}/config")


def read_containers(client: Client, node: str) -> tuple[int, ...]:
    """VMIDs of the node's containers: they share the numbers and the machine with the VMs."""
    read_permissions(client).need("/vms", "VM.Audit", to="list the containers")
    return tuple(sorted(int(entry["vmid"]) for entry in client.get(f"/nodes/{node}/lxc", cached=True)))


def vmid_is_taken(client: Client, vmid: int) -> bool:
    """Whether the number is in use by anything, seen or unseen: this question needs no privilege."""
    try:
        client.get("/cluster/nextid", {"vmid": vmid})
    except BadParameters as error:
        if "already exists" in error.parameters.get("vmid", ""):
            return True
        raise
    return False


def read_storages(client: Client, node: str) -> tuple[ObservedStorage, ...]:
    read_permissions(client).need("/storage", "Datastore.Audit", to="list the storages")
    return _storages(client, node)


def read_visible_storages(client: Client, node: str, *, thin_pools: bool = True) -> tuple[ObservedStorage, ...]:
    """The storages this credential may use; not a statement about what else there is."""
    found = _storages(client, node)
    return _with_thin_pools(client, node, found) if thin_pools else found


def read_bridges(client: Client, node: str) -> tuple[ObservedBridge, ...]:
    permissions = read_permissions(client)
    permissions.need("/sdn/zones/localnetwork", "SDN.Audit", to="list the bridges")
    path = f"/nodes/{node}/network"
    return tuple(
        ObservedBridge(
            name=entry["iface"],
            ports=tuple(str(entry.get("bridge_ports", "")).split()),
            active=wire.parse_bool(entry.get("active")),
            source=f"GET {path}?type=bridge",
        )
        for entry in client.get(path, {"type": "bridge"}, cached=True)
    )


def read_disks(client: Client, node: str) -> tuple[ObservedDisk, ...]:
    path = f"/nodes/{node}/disks/list"
    return tuple(
        ObservedDisk(
            path=str(entry["devpath"]),
            kind=str(entry.get("type", "unknown")),
            size_bytes=int(entry.get("size", 0)),
            source=f"GET {path}",
        )
        for entry in client.get(path, cached=True)
    )


def guest_of(vmid: int, config: Mapping[str, Any], status: str, source: str) -> ObservedGuest:
    order, delay = wire.parse_startup(config.get("startup"))
    name = config.get("name")
    return ObservedGuest(
        vmid=vmid,
        name=str(name) if name is not None else None,
        status=status,
        template=wire.parse_bool(config.get("template")),
        lock=config.get("lock"),
        tags=wire.parse_tags(config.get("tags")),
        description=str(config.get("description", "")),
        nics=wire.parse_nics(config),
        memory_mib=wire.parse_memory(config.get("memory")),
        cores=wire.parse_count(config.get("cores")) * wire.parse_count(config.get("sockets")),
        onboot=wire.parse_bool(config.get("onboot")),
        start_order=order,
        start_delay_s=delay,
        protection=wire.parse_bool(config.get("protection")),
        agent=wire.parse_agent(config.get("agent")),
        disks=wire.parse_disks(config),
        digest=str(config.get("digest", "")),
        config=dict(config),
        source=source,
    )


def _guest_of_entry(
    client: Client, node: str, entry: Mapping[str, Any], waiting: Container[int]
) -> ObservedGuest | None:
    vmid, status = int(entry["vmid"]), str(entry.get("status", "unknown"))
    asked = "pending" if vmid in waiting else "config"
    path = f"/nodes/{node}/qemu/{vmid}/{asked}"
    try:
        answer = client.get(path)
    except Absent:  # deleted between the list and this
        return None
    if asked == "config":
        return guest_of(vmid, answer, status, f"GET {path}")
    rows = {str(row["key"]): row for row in answer}
    return replace(guest_of(vmid, config_of(rows), status, f"GET {path}"), pending=rows)


def config_of(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What PVE's own /config says: the values that wait for a restart stand in for those in force."""
    return {key: row.get("pending", row.get("value")) for key, row in rows.items() if not row.get("delete")}


def _storages(client: Client, node: str) -> tuple[ObservedStorage, ...]:
    path = f"/nodes/{node}/storage"
    return tuple(
        ObservedStorage(
            name=entry["storage"],
            type=entry["type"],
            content=wire.parse_list(entry.get("content")),
            enabled=wire.parse_bool(entry.get("enabled")),
            shared=wire.parse_bool(entry.get("shared")),
            total_bytes=_whole(entry.get("total")),
            available_bytes=_whole(entry.get("avail")),
            source=f"GET {path}",
        )
        for entry in sorted(client.get(path), key=lambda entry: str(entry["storage"]))
    )


def _with_thin_pools(client: Client, node: str, storages: tuple[ObservedStorage, ...]) -> tuple[ObservedStorage, ...]:
    """PVE tells of thin pools only to those who may audit everything; for others they stay unknown."""
    thin = [storage for storage in storages if storage.type == "lvmthin" and storage.enabled]
    if not thin or not read_permissions(client).has("/", "Sys.Audit"):
        return storages
    behind = {
        str(entry["storage"]): f"{entry.get('vgname')}/{entry.get('thinpool')}" for entry in client.get("/storage")
    }
    pools = {pool.name: pool for pool in map(_thin_pool, client.get(f"/nodes/{node}/disks/lvmthin"))}
    return tuple(replace(storage, thin_pool=pools.get(behind.get(storage.name, ""))) for storage in storages)


def _thin_pool(entry: Mapping[str, Any]) -> ObservedThinPool:
    return ObservedThinPool(
        name=f"{entry['vg']}/{entry['lv']}",
        data_bytes=int(entry["lv_size"]),
        data_used_bytes=int(entry["used"]),
        metadata_bytes=int(entry["metadata_size"]),
        metadata_used_bytes=int(entry["metadata_used"]),
    )


def _manager_version(status: Mapping[str, Any]) -> str:
    """`pve-manager/8.4.1/2a5fa54a8503f96d` -> 8.4.1."""
    return str(status["pveversion"]).split("/")[1]


def _parents(path: str) -> Iterable[str]:
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))
