"""Read from a VM's configuration who manages it and what it relies on: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from harness.contract import Category
from harness.observed import ObservedGuest, ObservedStorage

LOCAL_TYPES = frozenset({"dir", "lvm", "lvmthin", "zfspool", "btrfs"})
CATEGORIES = frozenset(get_args(Category))

_TERRAFORM = re.compile(r"\b(terraform|opentofu|tofu)\b", re.IGNORECASE)
_TENANT = re.compile(r"\btenants?\b", re.IGNORECASE)
_CLOUD_INIT = re.compile(r"^(ciuser|cipassword|cicustom|citype|ciupgrade|sshkeys|nameserver|searchdomain)$")
_DISK = re.compile(r"^(ide|sata|scsi|virtio)\d+$")
_ADDRESS = re.compile(r"^ipconfig\d+$")


def is_local(storage: ObservedStorage) -> bool:
    """Whether a storage belongs to this one machine."""
    return storage.type in LOCAL_TYPES and not storage.shared


def cloud_init_keys(vm: ObservedGuest) -> tuple[str, ...]:
    """Keys that only mean something with cloud-init in the guest; the address is network.address's question."""
    drives = (key for key, value in vm.config.items() if _DISK.match(key) and "cloudinit" in str(value))
    return (*sorted(key for key in vm.config if _CLOUD_INIT.match(key)), *sorted(drives))


def fixed_addresses(vm: ObservedGuest) -> tuple[str, ...]:
    """Addresses the configuration would give the guest past DHCP."""
    keys = sorted(key for key in vm.config if _ADDRESS.match(key))
    return tuple(f"{key}: {vm.config[key]}" for key in keys if "dhcp" not in str(vm.config[key]))


def terraform_marks(vms: Iterable[ObservedGuest], pools: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """VMs and pools that say Terraform made them, by tag, notes or comment."""
    of_vms = (f"VM {vm.vmid} {vm.name}" for vm in vms if _TERRAFORM.search(" ".join((*vm.tags, vm.description))))
    of_pools = (f"pool {pool['poolid']}" for pool in pools if _TERRAFORM.search(str(pool.get("comment", ""))))
    return (*of_vms, *of_pools)


def tenant_marks(vms: Iterable[ObservedGuest], pools: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """VMs and pools that are marked as a tenant's, by tag or pool."""
    of_vms = (f"VM {vm.vmid} {vm.name}" for vm in vms if _TENANT.search(" ".join(vm.tags)))
    of_pools = (f"pool {pool['poolid']}" for pool in pools if _TENANT.search(str(pool["poolid"]).replace("_", " ")))
    return (*of_vms, *of_pools)


def category_tags(vm: ObservedGuest) -> frozenset[str]:
    return vm.tags & CATEGORIES


def disk_storages(vm: ObservedGuest) -> frozenset[str]:
    """The storages of its disks; an empty CD drive is on none."""
    volumes = (volume for volume in vm.disks.values() if not volume.startswith("none"))
    return frozenset(volume.partition(":")[0] for volume in volumes)


def has_virtio_disk(vm: ObservedGuest) -> bool:
    """A disk on a virtio bus: virtio itself, or SCSI behind a virtio controller."""
    scsi = str(vm.config.get("scsihw", "")).startswith("virtio-scsi")
    return any(slot.startswith("virtio") or (slot.startswith("scsi") and scsi) for slot in vm.disks)
