"""What hardware is allowed to fall short by, and why: pure."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Hardware
from harness.observed import ObservedDisk
from harness.verify.host_facts import HostDisk, HostNic

MIB = 2**20
GIB = 2**30
# Firmware, integrated graphics and the kernel itself keep memory that no program sees: about 1 GiB of 32 on the
# documented machine. A missing module costs at least an eighth, so a sixteenth tells the two apart.
KEPT_BACK = 16


def least_memory_bytes(hardware: Hardware) -> int:
    """What the kernel must at least have when the declared memory is installed."""
    installed = hardware.memory_mib * MIB
    return installed - installed // KEPT_BACK


def describe_memory(hardware: Hardware) -> str:
    """The expectation with the allowance in it."""
    least = least_memory_bytes(hardware)
    return f"{hardware.memory_mib / 1024:g} GiB installed, of which the kernel has at least {show_gib(least)}"


def show_gib(size_bytes: int) -> str:
    return f"{size_bytes / GIB:.1f} GiB"


def describe_disk(hardware: Hardware) -> str:
    kind = "solid state" if hardware.disk_solid_state else "any kind"
    return f"one disk of {hardware.disk_gb} GB or more, {kind}"


def has_disk(disks: Iterable[ObservedDisk | HostDisk], hardware: Hardware) -> bool:
    """Whether one disk is large enough and of the declared kind."""
    return any(
        disk.size_bytes >= hardware.disk_gb * 10**9 and (_is_solid(disk) or not hardware.disk_solid_state)
        for disk in disks
    )


def _is_solid(disk: ObservedDisk | HostDisk) -> bool:
    return not disk.rotating if isinstance(disk, HostDisk) else disk.kind in ("ssd", "nvme")


def describe_nic(hardware: Hardware) -> str:
    model = f", {hardware.nic_model}" if hardware.nic_model else ""
    return f"one link up at {hardware.nic_speed_mbit} Mbit/s or faster{model}"


def has_nic(nics: Iterable[HostNic], hardware: Hardware) -> bool:
    """Whether one physical link is up, fast enough and of the declared model."""
    return any(
        nic.up and nic.speed_mbit >= hardware.nic_speed_mbit and (hardware.nic_model or "") in nic.model for nic in nics
    )
