"""Describe VMs as PVE's lists and status calls do: what is configured, and what runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import drives
from .call import Call, Route
from .path_params import NODE, VM
from .rights import perm
from .schema import boolean
from .storage import parse_size
from .vm_options import DISK_SLOTS

if TYPE_CHECKING:
    from .simulator import Simulator

QEMU_VERSION = "9.2.0"
MACHINE = "pc-i440fx-9.2+pve1"
DRIVER_UP_S = 8.0  # a guest's balloon driver speaks once its system is up
_MIB = 1024**2
# The counters QEMU keeps per drive; namespaces have no drive to count on.
_BLOCK_COUNTERS = (
    "failed_flush_operations", "failed_rd_operations", "failed_unmap_operations", "failed_wr_operations",
    "failed_zone_append_operations", "flush_operations", "flush_total_time_ns", "invalid_flush_operations",
    "invalid_rd_operations", "invalid_unmap_operations", "invalid_wr_operations", "invalid_zone_append_operations",
    "rd_bytes", "rd_merged", "rd_operations", "rd_total_time_ns", "unmap_bytes", "unmap_merged", "unmap_operations",
    "unmap_total_time_ns", "wr_bytes", "wr_highest_offset", "wr_merged", "wr_operations", "wr_total_time_ns",
    "zone_append_bytes", "zone_append_merged", "zone_append_operations", "zone_append_total_time_ns",
)  # fmt: skip
_BACKUP_SUPPORT = (
    "backup-access-api", "backup-fleecing", "backup-max-workers", "pbs-dirty-bitmap", "pbs-dirty-bitmap-migration",
    "pbs-dirty-bitmap-savevm", "pbs-masterkey", "query-bitmap-info",
)  # fmt: skip


def memory_bytes(config: Mapping[str, str]) -> int:
    return int(config.get("memory", "512").split(",")[0].removeprefix("current=")) * _MIB


def max_disk(config: Mapping[str, str]) -> int:
    slot = drives.root_disk(config)
    size = drives.parse(slot, config[slot]).get("size") if slot is not None else None
    return parse_size(size) if size else 0


def agent_enabled(config: Mapping[str, str]) -> bool:
    return config.get("agent", "0").split(",")[0].removeprefix("enabled=") == "1"


def summary(sim: Simulator, vmid: int) -> dict[str, Any]:
    """One item of GET /nodes/{node}/qemu."""
    config = sim.configs.record(vmid)["config"]
    pid = sim.runtime.is_running(vmid)
    cpus = int(config.get("cores", "1")) * int(config.get("sockets", "1"))
    item: dict[str, Any] = {
        "vmid": vmid,
        "name": config.get("name", f"VM {vmid}"),
        "status": "running" if pid else "stopped",
        "cpus": cpus,
        "maxmem": memory_bytes(config),
        "maxdisk": max_disk(config),
    }
    item |= dict.fromkeys(("cpu", "disk", "diskread", "diskwrite", "mem", "netin", "netout", "uptime"), 0)
    item |= {key: config[key] for key in ("lock", "tags") if key in config}
    if any(f"serial{n}" in config for n in range(4)):
        item["serial"] = 1
    if config.get("template") == "1":
        item["template"] = 1
    if pid:
        item |= {"pid": pid, "uptime": int(uptime(sim, vmid)), "mem": resident_bytes(pid)} | _traffic(vmid, config)
    return item


def uptime(sim: Simulator, vmid: int) -> float:
    started = sim.state["started"].get(str(vmid))
    return max(0.0, time.time() - started[1]) if started else 0.0


def resident_bytes(pid: int) -> int:
    """The memory of the guest's first process; the kernel's own figure or nothing."""
    file = Path(f"/proc/{pid}/statm")
    try:
        return int(file.read_text(encoding="ascii").split()[1]) * 4096
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0


def _traffic(vmid: int, config: Mapping[str, str]) -> dict[str, int]:
    nics = nic_counters(vmid, config).values()
    return {"netin": sum(nic["netin"] for nic in nics), "netout": sum(nic["netout"] for nic in nics)}


def nic_counters(vmid: int, config: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Per tap; what the tap receives is what the guest sends."""
    found = {}
    for key in sorted(key for key in config if key.startswith("net") and key[3:].isdigit()):
        tap = f"tap{vmid}i{key[3:]}"
        statistics = Path(f"/sys/class/net/{tap}/statistics")

        def counter(name: str, folder: Path = statistics) -> int:
            try:
                return int((folder / name).read_text(encoding="ascii"))
            except OSError:  # there is none, or it goes away with its guest while it is read
                return 0

        found[tap] = {"netin": counter("tx_bytes"), "netout": counter("rx_bytes")}
    return found


def running_details(sim: Simulator, vmid: int, config: Mapping[str, str]) -> dict[str, Any]:
    """What a running VM's status has beside its summary."""
    memory = memory_bytes(config)
    pid = sim.runtime.is_running(vmid)
    guest_view = guest_memory(pid, memory) if pid and uptime(sim, vmid) >= DRIVER_UP_S * sim.pace else {}
    counters = dict.fromkeys(_BLOCK_COUNTERS, 0) | {"account_failed": True, "account_invalid": True, "timed_stats": []}
    if guest_view:
        counters["idle_time_ns"] = 0  # a drive is idle only after it was busy
    support: dict[str, Any] = dict.fromkeys(_BACKUP_SUPPORT, True)
    return {
        "balloon": memory,
        "ballooninfo": {"actual": memory, "max_mem": memory} | guest_view,
        "blockstat": {slot: counters for slot in config if slot in DISK_SLOTS},
        "nics": nic_counters(vmid, config),
        "proxmox-support": support | {"pbs-library-version": "1.5.1"},
        "running-machine": config.get("machine", MACHINE),
        "running-qemu": QEMU_VERSION,
        "qmpstatus": "paused" if vmid in sim.paused else "running",
    } | ({"freemem": guest_view["free_mem"]} if guest_view else {})


def guest_memory(pid: int, total: int) -> dict[str, int]:
    """What the balloon driver of a running system reports; a guest without a process has no system."""
    used = resident_bytes(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it may end between two looks
        return {}
    if not used:
        return {}
    figures = {"total_mem": total, "free_mem": max(0, total - used), "last_update": int(time.time())}
    faults = {"minor_page_faults": int(fields[7]), "major_page_faults": int(fields[9])}
    return figures | faults | {"mem_swapped_in": 0, "mem_swapped_out": 0}


def visible_vmids(call: Call, privilege: str = "VM.Audit") -> list[int]:
    return [vmid for vmid in call.sim.configs.vmids() if call.may(f"/vms/{vmid}", privilege)]


def _list(call: Call) -> object:
    items = []
    for vmid in visible_vmids(call):
        item = summary(call.sim, vmid)
        if call.params.get("full") and item["status"] == "running":
            item |= running_details(call.sim, vmid, call.sim.configs.record(vmid)["config"])
        elif call.params.get("full"):
            item["qmpstatus"] = "stopped"
        items.append(item)
    return items


def _current(call: Call) -> object:
    config = call.sim.configs.record(call.vmid)["config"]
    item = summary(call.sim, call.vmid) | {"ha": {"managed": 0}, "qmpstatus": "stopped"}
    if agent_enabled(config):
        item["agent"] = 1
    if item["status"] == "running":
        item |= running_details(call.sim, call.vmid, config)
    return item


_VM_INDEX = (
    "config", "cloudinit", "pending", "status", "unlink", "vncproxy", "termproxy", "migrate", "resize", "move", "rrd",
    "rrddata", "monitor", "agent", "snapshot", "spiceproxy", "sendkey", "firewall", "mtunnel", "remote_migrate",
)  # fmt: skip
_POWER_INDEX = ("current", "start", "stop", "reset", "shutdown", "suspend", "reboot")


def _vm_index(call: Call) -> object:  # noqa: ARG001 - PVE lists it for VMs that do not exist as well
    return [{"subdir": name} for name in _VM_INDEX]


def _power_index(call: Call) -> object:  # noqa: ARG001 - the same
    return [{"subdir": name} for name in _POWER_INDEX]


_AUDIT = perm("/vms/{vmid}", "VM.Audit")
ROUTES = (
    Route("GET", "/nodes/{node}/qemu", _list, NODE | {"full": boolean()}),
    Route("GET", "/nodes/{node}/qemu/{vmid}", _vm_index, VM),
    Route("GET", "/nodes/{node}/qemu/{vmid}/status", _power_index, VM),
    Route("GET", "/nodes/{node}/qemu/{vmid}/status/current", _current, VM, _AUDIT),
)
