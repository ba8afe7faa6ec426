"""Create a VM, with new disks, with imported ones, or from a backup."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import disk_images, drives, vm_options
from .call import Call, Route
from .failures import died, failed_step, forbidden
from .formats import pool_id, storage_id
from .path_params import NODE
from .pools import add_vm
from .schema import boolean, integer, text
from .storage import unheard
from .tasks import Worker
from .vm_options import NEEDED_VMID
from .vm_power import start_vm
from .vm_restore import restore
from .vm_rights import check_bridges, check_keys
from .vm_status import QEMU_VERSION
from .vm_update import check_boot_order, stored_net

if TYPE_CHECKING:
    from .simulator import Simulator

_CONTROL = ("node", "vmid", "pool", "start", "storage", "unique", "force", "archive", "bwlimit", "live-restore",
    "import-working-storage")  # fmt: skip
_CREATE_WAIT_S = 5.0
_WORKER_WAIT_S = 1.0


def _create(call: Call) -> object:
    sim, vmid, pool = call.sim, call.vmid, call.params.get("pool")
    if pool is not None:
        sim.rights.check_pool_exists(pool)
    if not _may_make(call, vmid, pool):
        raise forbidden()
    values = {key: str(value) for key, value in call.sent.items() if key not in _CONTROL}
    if "archive" in call.params:
        return restore(call, values)
    return _start(call, vmid, values, pool)


def _may_make(call: Call, vmid: int, pool: str | None) -> bool:
    """Who may back a VM up may also bring it back over what is there."""
    if call.may(f"/vms/{vmid}", "VM.Allocate") or (pool and call.may(f"/pool/{pool}", "VM.Allocate")):
        return True
    over = "archive" in call.params and bool(call.params.get("force")) and call.sim.configs.exists(vmid)
    return over and call.may(f"/vms/{vmid}", "VM.Backup")


def _start(call: Call, vmid: int, values: dict[str, str], pool: str | None) -> object:
    sim = call.sim
    with sim.state.lock:
        check_keys(call, values, (), creating=True)
        drives.check_access(call, values, {})
        check_bridges(call, [value for key, value in values.items() if key.rstrip("0123456789") == "net"])
    _take(sim, vmid)

    def work(worker: Worker) -> None:
        with failed_step(f"unable to create VM {vmid} - "), sim.locks.exclusive(vmid, worker.log, _WORKER_WAIT_S):
            _make(sim, vmid, values, pool, worker)
        if call.params.get("start"):
            sim.tasks.start("qmstart", str(vmid), call.user, lambda starter: start_vm(sim, vmid, starter, {}))

    return sim.tasks.start("qmcreate", str(vmid), call.user, work)


def _take(sim: Simulator, vmid: int) -> None:
    """The locked configuration is there before the task is."""
    refused = failed_step(f"unable to create VM {vmid} - ")
    with refused, sim.locks.exclusive(vmid, None, _CREATE_WAIT_S), sim.state.changing():
        if sim.configs.exists(vmid):
            raise died(f"VM {vmid} already exists on node '{sim.node}'")
        sim.configs.write(vmid, {"lock": "create"})


def _make(sim: Simulator, vmid: int, values: dict[str, str], pool: str | None, worker: Worker) -> None:
    made: list[str] = []
    try:
        worker.spend(worker.record.pop("stall_s", 0.0))
        with worker.taking_its_time():
            config = _config(sim, vmid, values, worker, made)
            if (root := drives.root_disk(config)) is not None:
                _fill(sim, vmid, drives.parse(root, values[root]).get("import-from"))
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


def _fill(sim: Simulator, vmid: int, source: str | None) -> None:
    """What is on the disk the VM starts from: the lab's image alone, another VM's disk, or the tree of an image."""
    owner, _ = (None, "") if source is None else drives.nature(sim.storages, source)
    file = None if source is None or owner is not None else Path(sim.storages.path(source))
    if file is None or not file.is_file():  # a seeded volume has no file
        sim.runtime.create_disk(vmid, owner, False)
        return
    content = sim.options.state / f"import-{vmid}"
    try:
        has_tree = disk_images.extract(file, disk_images.form_of(file.name), content)
        sim.runtime.import_disk(vmid, content if has_tree else None)
    finally:
        content.unlink(missing_ok=True)


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
        "unique": boolean(requires="archive"),
        "bwlimit": integer(0),
        "live-restore": boolean(requires="archive"),
        "import-working-storage": text(storage_id),
        "force": boolean(requires="archive"),
        "archive": text(longest=255),
    }
)
ROUTES = (Route("POST", "/nodes/{node}/qemu", _create, _PARAMS, locked=False),)
