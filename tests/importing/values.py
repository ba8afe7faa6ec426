"""A live hypervisor as values: two VMs that could be declared, one that could not, and a router that is a VM."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from harness.importing.found import Found, FoundBridge
from harness.observed import (
    ObservedCluster,
    ObservedDisk,
    ObservedGuest,
    ObservedNode,
    ObservedStorage,
)
from harness.pve.read import guest_of

NODE = ObservedNode(
    name="hv01",
    pve_version="8.4.1",
    kernel="6.8.12-9-pve",
    memory_bytes=33400000000,
    cpu_model="Intel(R) Core(TM) i7-6700T CPU @ 2.80GHz",
    cpu_sockets=1,
    cpu_cores=4,
    cpu_threads=8,
    hvm=True,
    source="GET /nodes/hv01/status",
)
ALONE = ObservedCluster(("hv01",), None, (), (), (), ())
LOCAL = ObservedStorage(
    "local", "dir", frozenset({"iso", "vztmpl", "backup"}), True, False, 10**11, 9 * 10**10, "GET /nodes/hv01/storage"
)
THIN = replace(LOCAL, name="local-lvm-big-thin", type="lvmthin", content=frozenset({"images", "rootdir"}))
NAS = replace(LOCAL, name="nas", type="nfs", shared=True)
BRIDGE = FoundBridge("vmbr0", ("eno1",), IPv4Interface("10.20.99.21/24"), IPv4Address("10.20.99.1"))
DISK = ObservedDisk("/dev/nvme0n1", "nvme", 1000204886016, "GET /nodes/hv01/disks/list")
GOOD = {
    "onboot": 1,
    "protection": 1,
    "agent": "1",
    "scsihw": "virtio-scsi-single",
    "cores": 2,
}


def vm(vmid: int, name: str, status: str = "running", **config: Any) -> ObservedGuest:
    disk = f"local-lvm-big-thin:vm-{vmid}-disk-0,size=32G"
    return guest_of(
        vmid, {"name": name, "scsi0": disk, **GOOD, **config}, status, f"GET /nodes/hv01/qemu/{vmid}/config"
    )


def notes(name: str) -> str:
    return f"mgmt-harness: site=dvntm guest={name} template=fedora-server-43-1.6 build=43-1.6 mode=linked"


TEMPLATE = vm(
    9000,
    "fedora-server-43-1.6",
    "stopped",
    template=1,
    description="Fedora Server 43-1.6\nbuilt by the image factory",
    net0="virtio=BC:24:11:AA:00:01,bridge=vmbr0",
)
METRICS = vm(
    2030,
    "metrics-vm01",
    tags="mgmt-harness;observability",
    description=notes("metrics-vm01"),
    memory="4096",
    net0="virtio=02:de:20:01:01:01,bridge=vmbr0",
    startup="order=20,up=15",
)
# Made by hand: a MAC from Proxmox VE's own prefix, and nothing of what management VMs have.
JUMP = vm(
    101,
    "jump-vm02",
    memory="1024",
    net0="virtio=BC:24:11:7E:FC:A0,bridge=vmbr0,firewall=1",
    scsi1="nas:101/vm-101-disk-0.qcow2,size=8G",
    onboot=0,
    protection=0,
)
WEB = vm(900, "web01", tags="tenant", memory="2048", net0="e1000=00:16:3e:11:22:33,bridge=vmbr7,tag=50")
# Declared with 4096 MiB and another MAC, and changed by hand since.
CHANGED = vm(
    2030,
    "metrics-vm01",
    tags="mgmt-harness;observability",
    description=notes("metrics-vm01"),
    memory="8192",
    net0="virtio=02:DE:20:01:01:7F,bridge=vmbr0",
    startup="order=20,up=15",
)
ROUTER = vm(200, "core-rt01", memory="1024", net0="virtio=BC:24:11:00:02:00,bridge=vmbr0")

FOUND = Found(
    node=NODE,
    architecture="x86_64",
    domain="dvntm.deevnet.net",
    own_mac=None,
    cluster=ALONE,
    storages=(LOCAL, THIN),
    bridges=(BRIDGE,),
    disks=(DISK,),
    guests=(METRICS, TEMPLATE),
    containers=(),
)
FULL = replace(FOUND, storages=(LOCAL, THIN, NAS), guests=(JUMP, ROUTER, WEB, CHANGED, TEMPLATE), containers=(500,))
CLUSTERED = replace(
    FOUND, cluster=ObservedCluster(("hv01", "hv09"), "office", ("vm:100",), ("prefer-hv01",), ("100-0",), ())
)
