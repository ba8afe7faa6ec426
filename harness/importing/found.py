"""Read a hypervisor that no inventory describes yet, by reads that an audit token may make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from harness.errors import Invalid
from harness.observed import ObservedCluster, ObservedDisk, ObservedGuest, ObservedNode, ObservedStorage
from harness.pve import read
from harness.pve.client import Client


@dataclass(frozen=True)
class FoundBridge:
    """A bridge with its ports, and the node's own address on it."""

    name: str
    ports: tuple[str, ...]
    address: IPv4Interface | None
    gateway: IPv4Address | None


@dataclass(frozen=True)
class Found:
    """A live hypervisor; what PVE does not say is None."""

    node: ObservedNode
    architecture: str | None
    domain: str | None
    own_mac: str | None  # of the NIC with its own address, where somebody entered it for waking, or the node was asked
    cluster: ObservedCluster
    storages: tuple[ObservedStorage, ...]
    bridges: tuple[FoundBridge, ...]
    disks: tuple[ObservedDisk, ...]
    guests: tuple[ObservedGuest, ...]  # VMs and templates
    containers: tuple[int, ...]

    @property
    def vms(self) -> tuple[ObservedGuest, ...]:
        return tuple(guest for guest in self.guests if not guest.template)

    @property
    def templates(self) -> tuple[ObservedGuest, ...]:
        return tuple(guest for guest in self.guests if guest.template)

    @property
    def home(self) -> FoundBridge | None:
        """The bridge on which the node has its own address; the one with the way out first."""
        with_address = [bridge for bridge in self.bridges if bridge.address is not None]
        return next(iter(sorted(with_address, key=lambda bridge: bridge.gateway is None)), None)


def read_hypervisor(client: Client, node: str | None = None) -> Found:
    """Everything an inventory says of a hypervisor and its VMs; `node` where the URL leads to a cluster."""
    cluster = read.read_cluster(client)
    name = node or _only_node(client, cluster)
    status = client.get(f"/nodes/{name}/status", cached=True)
    return Found(
        node=read.read_node(client, name),
        architecture=status.get("current-kernel", {}).get("machine"),
        domain=client.get(f"/nodes/{name}/dns").get("search") or None,
        own_mac=_wake_mac(client.get(f"/nodes/{name}/config")),
        cluster=cluster,
        storages=read.read_storages(client, name),
        bridges=_bridges(client, name),
        disks=read.read_disks(client, name),
        guests=read.read_guests(client, name),
        containers=read.read_containers(client, name),
    )


def _only_node(client: Client, cluster: ObservedCluster) -> str:
    if len(cluster.nodes) == 1:
        return cluster.nodes[0]
    raise Invalid(
        tried="import a hypervisor",
        on=client.url,
        happened=f"it is in the cluster {cluster.cluster_name} with the nodes {', '.join(sorted(cluster.nodes))}",
        do="Say which one with --node; a management hypervisor must stand alone",
    )


def _bridges(client: Client, node: str) -> tuple[FoundBridge, ...]:
    read.read_bridges(client, node)  # refuses where the list would be shortened without a word
    listed = client.get(f"/nodes/{node}/network", {"type": "bridge"}, cached=True)
    return tuple(_bridge(entry) for entry in sorted(listed, key=lambda entry: str(entry["iface"])))


def _bridge(entry: Mapping[str, Any]) -> FoundBridge:
    cidr, gateway = entry.get("cidr"), entry.get("gateway")
    return FoundBridge(
        name=str(entry["iface"]),
        ports=tuple(str(entry.get("bridge_ports", "")).split()),
        address=IPv4Interface(str(cidr)) if cidr else None,
        gateway=IPv4Address(str(gateway)) if gateway else None,
    )


def _wake_mac(config: Mapping[str, Any]) -> str | None:
    """`wakeonlan` is a MAC, with options behind it."""
    said = str(config.get("wakeonlan", "")).split(",")[0].removeprefix("mac=").lower()
    return said or None
