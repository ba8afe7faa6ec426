"""What is: values read from the hypervisor. Absent is None; `source` names the question that was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ObservedNic:
    slot: str
    model: str
    mac: str  # in the case PVE keeps it
    bridge: str | None
    vlan_tag: int | None


@dataclass(frozen=True)
class ObservedGuest:
    """One VM: its configuration and its live state."""

    vmid: int
    name: str | None
    status: str  # running, stopped
    template: bool
    lock: str | None
    tags: frozenset[str]
    description: str
    nics: Mapping[str, ObservedNic]  # by slot
    memory_mib: int
    cores: int
    onboot: bool
    start_order: int | None
    start_delay_s: int | None
    protection: bool
    agent: bool
    disks: Mapping[str, str]  # slot -> volume string
    digest: str
    config: Mapping[str, Any]
    source: str
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # PVE's rows by key, where it was asked


@dataclass(frozen=True)
class ObservedThinPool:
    """The thin pool behind a storage. It ends when either runs out, and an end of the metadata ends all its volumes."""

    name: str  # vg/lv
    data_bytes: int
    data_used_bytes: int
    metadata_bytes: int
    metadata_used_bytes: int


@dataclass(frozen=True)
class ObservedStorage:
    name: str
    type: str
    content: frozenset[str]
    enabled: bool
    shared: bool
    total_bytes: int | None
    available_bytes: int | None
    source: str
    thin_pool: ObservedThinPool | None = None  # None: no thin pool, or not for this credential to see


@dataclass(frozen=True)
class ObservedBridge:
    name: str
    ports: tuple[str, ...]
    active: bool
    source: str


@dataclass(frozen=True)
class ObservedDisk:
    path: str
    kind: str  # ssd, hdd, nvme, usb, unknown
    size_bytes: int
    source: str


@dataclass(frozen=True)
class ObservedNode:
    """The hypervisor as its API describes it."""

    name: str
    pve_version: str  # 8.4.1
    kernel: str
    memory_bytes: int
    cpu_model: str
    cpu_sockets: int
    cpu_cores: int
    cpu_threads: int
    hvm: bool
    source: str


@dataclass(frozen=True)
class ObservedCluster:
    """What would be there if the node were not alone."""

    nodes: tuple[str, ...]
    cluster_name: str | None
    ha_resources: tuple[str, ...]
    ha_groups: tuple[str, ...]
    replication_jobs: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class BegunClone:
    """A clone this machine has asked for, from its own journal: PVE cannot name it while it is in flight."""

    guest: str
    vmid: int
    upid: str | None  # None: asked for, the answer never came


@dataclass(frozen=True)
class TakenApart:
    """A guest of which an earlier run of this machine began to rebuild, restore or destroy the VM, and did not end."""

    guest: str
    vmid: int
    by: str  # rebuild, restore, destroy
    line: Mapping[str, Any]  # as the journal has it
    renewed: bool = False  # the VM that is there now is the new one
    emptied: bool = False  # its disks were given up, and nobody knows how much came back


@dataclass(frozen=True)
class ObservedSite:
    """The hypervisor as `plan` sees it."""

    node: ObservedNode
    guests: tuple[ObservedGuest, ...]
    sees_all: bool  # False: only the VMs of the pool are in `guests`
    hidden: frozenset[int]  # declared VMIDs that are in use by something that is not in `guests`
    storages: tuple[ObservedStorage, ...]
    begun: Mapping[int, BegunClone]  # by VMID
    apart: Mapping[int, TakenApart] = field(default_factory=dict)  # by VMID
