"""Create a VM from parameters alone; restoring one from an archive comes with the backups."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from . import drives, vm_options
from .call import Call, Route
from .failures import died, failed_step, forbidden
from .formats import pool_id, storage_id
from .path_params import NODE
from .pools import add_vm
from .schema import boolean, text
from .storage import unheard
from .tasks import Worker
from .vm_options import NEEDED_VMID
from .vm_power import start_vm
from .vm_rights import check_bridges, check_keys
from .vm_status import QEMU_VERSION
from .vm_update import check_boot_order, stored_net

if TYPE_CHECKING:
    from .simulator import Simulator

_CONTROL = ("node", "vmid", "pool", "start", "storage", "unique", "force", "archive", "bwlimit", "live-restore")
_CREATE_WAIT_S = 5.0


def _create(call: Call) -> object:
    sim, vmid, pool = call.sim, call.vmid, call.params.get("pool")
    if pool is not None:
        sim.rights.check_pool_exists(pool)
    allowed = call.may(f"/vms/{vmid}", "VM.Allocate") or (pool and call.may(f"/pool/{pool}", "VM.Allocate"))
    if not allowed:
        raise forbidden()
    if "archive" in call.params:
        raise died(f"volume '{call.params['archive']}' does not exist")
    if sim.configs.exists(vmid):
        raise died(f"unable to create VM {vmid} - VM {vmid} already exists on node '{sim.node}'")
    values = {key: str(value) for key, value in call.sent.items() if key not in _CONTROL}
    check_keys(call, values, (), creating=True)
    drives.check_access(call, values, {})
    check_bridges(call, [value for key, value in values.items() if key.rstrip("0123456789") == "net"])

    def work(worker: Worker) -> None:
        with failed_step(f"unable to create VM {vmid} - "), sim.locks.exclusive(vmid, worker.log, _CREATE_WAIT_S):
            _make(sim, vmid, values, pool, worker)
        if call.params.get("start"):
            sim.tasks.start("qmstart", str(vmid), call.user, lambda starter: start_vm(sim, vmid, starter, {}))

    return sim.tasks.start("qmcreate", str(vmid), call.user, work)


def _make(sim: Simulator, vmid: int, values: dict[str, str], pool: str | None, worker: Worker) -> None:
    if sim.configs.exists(vmid):
        raise died(f"VM {vmid} already exists on node '{sim.node}'")
    with sim.state.changing():
        sim.configs.write(vmid, {"lock": "create"})
    made: list[str] = []
    try:
        worker.spend(worker.record.pop("stall_s", 0.0))
        config = _config(sim, vmid, values, worker, made)
        if drives.root_disk(config) is not None:
            sim.runtime.create_disk(vmid, None, False)
        with sim.state.changing():
            sim.configs.write(vmid, config)
            if pool is not None:
                add_vm(sim.state, pool, vmid)
    except Exception:
        with sim.state.changing():
            for volid in made:
                sim.storages.remove(volid, unheard)
            sim.configs.remove(vmid)
        raise


def _config(sim: Simulator, vmid: int, values: dict[str, str], worker: Worker, made: list[str]) -> dict[str, Any]:
    """The parameters as PVE keeps them, and what it adds by itself."""
    config: dict[str, Any] = {}
    for key, value in sorted(values.items()):
        if drives.is_drive(key):
            with sim.state.changing():
                config[key] = drives.materialise(sim.storages, vmid, key, value, current=None, log=worker.log)
            made += [volid for volid in [drives.volume_of(key, config[key])] if volid is not None]
        elif key.startswith("net") and key[3:].isdigit():
            config[key] = stored_net(sim, key, value)
        elif key != "description" or value:
            config[key] = value
    if "boot" in config:
        check_boot_order(config["boot"], config)
    elif order := _default_boot_order(config):
        config["boot"] = f"order={order}"
    config.setdefault("smbios1", f"uuid={uuid.uuid4()}")
    config["vmgenid"] = str(uuid.uuid4()) if config.get("vmgenid", "1") == "1" else config["vmgenid"]
    config["meta"] = f"creation-qemu={QEMU_VERSION},ctime={int(time.time())}"
    return config


def _default_boot_order(config: dict[str, str]) -> str:
    """The first disk, the first CD drive, the first NIC."""
    slots = [slot for slot in vm_options.DRIVE_SLOTS if slot in config]
    disks = [slot for slot in slots if not drives.is_cdrom(config[slot])][:1]
    cds = [slot for slot in slots if drives.is_cdrom(config[slot])][:1]
    nets = sorted(key for key in config if key.startswith("net"))[:1]
    return ";".join(disks + cds + nets)


_PARAMS = (
    NODE
    | dict(vm_options.options())
    | {
        "vmid": NEEDED_VMID,
        "pool": text(pool_id),
        "start": boolean(),
        "storage": text(storage_id),
        "unique": boolean(),
        "force": boolean(requires="archive"),
        "archive": text(longest=255),
    }
)
ROUTES = (Route("POST", "/nodes/{node}/qemu", _create, _PARAMS),)
