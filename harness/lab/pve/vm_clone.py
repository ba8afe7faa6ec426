"""Clone a VM: a half-made, locked configuration first, the real one only when every disk is there."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import drives, vm_options
from .call import Call, Route
from .failures import ApiError, died
from .formats import config_id, dns_name, node, pool_id, storage_id
from .path_params import VM
from .pools import add_vm
from .rights import both, either, perm
from .runtime import RuntimeFailed
from .schema import boolean, integer, one_of, text
from .storage import format_size, unheard
from .tasks import Interrupted, Worker
from .vm_config import check_lock
from .vm_options import NEEDED_VMID
from .vm_rights import check_bridges

if TYPE_CHECKING:
    from .simulator import Simulator

HALF_MADE = {"description": " qmclone temporary file", "lock": "clone"}
_LEFT_BEHIND = ("digest", "lock", "parent", "snapshots", "template", "vmstate", "name")
_TARGET_WAIT_S = 1.0
_STEPS = 100


@dataclass(frozen=True)
class Wanted:
    """One checked clone request."""

    source: int
    target: int
    full: bool
    storage: str | None
    form: str | None
    name: str | None
    description: str | None
    pool: str | None
    kib_per_s: int | None


def _clone(call: Call) -> object:
    wanted = _read(call)
    sim = call.sim
    _check(call, wanted)

    def work(worker: Worker) -> None:
        with _source_lock(sim, wanted, worker), sim.locks.exclusive(wanted.target, worker.log, _TARGET_WAIT_S):
            if sim.configs.exists(wanted.target):
                raise died(f"unable to create VM {wanted.target}: config file already exists")
            _make(sim, wanted, worker)

    return sim.tasks.start("qmclone", str(wanted.source), call.user, work)


def _source_lock(sim: Simulator, wanted: Wanted, worker: Worker) -> contextlib.AbstractContextManager[None]:
    """Several clones of one template go on at once; a running VM is kept for one."""
    running = sim.runtime.is_running(wanted.source) is not None
    take = sim.locks.exclusive if running else sim.locks.shared
    return take(wanted.source, worker.log)


def _read(call: Call) -> Wanted:
    params = call.params
    if "pool" in params:
        call.sim.rights.check_pool_exists(params["pool"])
    if params.get("target", call.sim.node) not in {call.sim.node, "localhost"}:
        raise died(f"no such cluster node '{params['target']}'")
    if "storage" in params:
        call.sim.storages.config(params["storage"])
        call.check(f"/storage/{params['storage']}", "Datastore.AllocateSpace")
    config = call.sim.configs.source(call.vmid)["config"]
    full = bool(params.get("full", config.get("template") != "1"))
    return Wanted(
        source=call.vmid,
        target=int(params["newid"]),
        full=full,
        storage=params.get("storage"),
        form=params.get("format"),
        name=params.get("name"),
        description=params.get("description"),
        pool=params.get("pool"),
        kib_per_s=params.get("bwlimit"),
    )


def _check(call: Call, wanted: Wanted) -> None:
    """Everything that is refused before the task starts, in PVE's order."""
    sim = call.sim
    record = sim.configs.source(wanted.source)
    config = record["config"]
    check_lock(record)
    for name, value in (("storage", wanted.storage), ("format", wanted.form)):
        if value is not None and not wanted.full:
            raise died(f"parameter '{name}' not allowed for linked clones")
    if "snapname" in call.params:
        raise died(f"snapshot '{call.params['snapname']}' does not exist")
    if sim.configs.exists(wanted.target):
        raise died(f"unable to create VM {wanted.target}: config file already exists")
    for slot in _cloned_slots(config):
        volid = drives.volume_of(slot, config[slot])
        if volid is None:
            continue
        target = wanted.storage or volid.partition(":")[0]
        call.check(f"/storage/{target}", "Datastore.AllocateSpace")
        if not wanted.full and not _is_base(volid) and not drives.is_cdrom(config[slot]):
            raise died(f"Linked clone feature is not supported for '{volid}' ({slot})")
    check_bridges(call, [value for key, value in config.items() if key.rstrip("0123456789") == "net"])


def _is_base(volid: str) -> bool:
    return volid.rpartition("/")[2].rpartition(":")[2].startswith("base-")


def _cloned_slots(config: Mapping[str, str]) -> list[str]:
    return sorted(key for key in config if drives.is_drive(key))


def _make(sim: Simulator, wanted: Wanted, worker: Worker) -> None:
    """From the half-made configuration to the whole one, or back to nothing."""
    made: list[str] = []
    with sim.state.changing():
        sim.configs.write(wanted.target, dict(HALF_MADE))
    try:
        source = dict(sim.configs.record(wanted.source)["config"])
        config = _new_config(sim, wanted, source)
        with worker.taking_its_time():
            for slot in _cloned_slots(source):
                config[slot] = _cloned_drive(sim, wanted, worker, slot, source[slot], made=made)
            if drives.root_disk(source) is not None:
                sim.runtime.create_disk(wanted.target, wanted.source, not wanted.full)
        with sim.state.changing():
            if wanted.pool is not None:
                add_vm(sim.state, wanted.pool, wanted.target)
            sim.configs.write(wanted.target, config)
    except RuntimeFailed as error:
        _undo(sim, wanted.target, made)
        raise died(f"clone failed: {error}") from error
    except ApiError as error:
        _undo(sim, wanted.target, made)
        raise died(f"clone failed: {_copy_failure(sim, wanted, error, made)}") from error
    except Exception:
        _undo(sim, wanted.target, made)
        raise


def _copy_failure(sim: Simulator, wanted: Wanted, error: ApiError, made: list[str]) -> str:
    if not isinstance(error, Interrupted) or not made:
        return error.task_text()
    origin = drives.root_disk(sim.configs.record(wanted.source)["config"])
    source = drives.disks(sim.configs.record(wanted.source)["config"])[origin or ""]
    limit = f"-r {wanted.kib_per_s}K " if wanted.kib_per_s else ""
    command = f"/usr/bin/qemu-img convert -p -n {limit}-f qcow2 -O qcow2 {sim.storages.path(source)}"
    return f"copy failed: command '{command} zeroinit:{sim.storages.path(made[-1])}' failed: interrupted by signal"


def _undo(sim: Simulator, vmid: int, made: list[str]) -> None:
    sim.runtime.destroy_disk(vmid)
    with sim.state.changing():
        for volid in made:
            sim.storages.remove(volid, unheard)
        sim.configs.remove(vmid)


def _new_config(sim: Simulator, wanted: Wanted, source: Mapping[str, str]) -> dict[str, str]:
    """The source's configuration with everything that must be the clone's own."""
    config = {key: value for key, value in source.items() if key not in _LEFT_BEHIND and not key.startswith("unused")}
    for key, value in source.items():
        if key.startswith("net") and key[3:].isdigit():
            config[key] = _with_new_mac(sim, key, value)
    smbios = [part for part in source.get("smbios1", "").split(",") if part and not part.startswith("uuid=")]
    config["smbios1"] = ",".join([f"uuid={uuid.uuid4()}", *smbios])
    if "vmgenid" in source:
        config["vmgenid"] = str(uuid.uuid4())
    config["name"] = wanted.name or f"Copy-of-VM-{source.get('name', wanted.source)}"
    if wanted.description is not None:
        config["description"] = wanted.description
    return config


def _with_new_mac(sim: Simulator, key: str, value: str) -> str:
    values = vm_options.NET.parse(value, key)
    head, comma, rest = value.partition(",")
    return f"{head.partition('=')[0]}={sim.random_mac()}{comma}{rest}" if values else value


def _cloned_drive(sim: Simulator, wanted: Wanted, worker: Worker, slot: str, value: str, *, made: list[str]) -> str:
    volid = drives.volume_of(slot, value)
    if volid is None:
        return value
    values = drives.parse(slot, value)
    storages = sim.storages
    storages.volume(volid)
    full = wanted.full or not _is_base(volid)
    with sim.state.changing():
        if drives.is_cdrom(value):
            worker.log(f"create full clone of drive {slot} ({volid})")
            target = wanted.storage or volid.partition(":")[0]
            form = wanted.form if storages.is_file_based(target) else None
            values["file"] = storages.cloud_init(target, wanted.target, form, worker.log)
            size = 0
        elif full:
            worker.log(f"create full clone of drive {slot} ({volid})")
            values["file"], size = storages.full_copy(volid, wanted.target, wanted.storage, wanted.form, worker.log)
        else:
            worker.log(f"create linked clone of drive {slot} ({volid})")
            values["file"], size = storages.linked(volid, wanted.target, worker.log), 0
        made.append(values["file"])
    _copy(worker, size, wanted.kib_per_s)
    if full and not drives.is_cdrom(value):
        with sim.state.changing():
            storages.fill(volid, values["file"], worker.log)
    return drives.render(values | {"size": format_size(storages.volume(values["file"])["size"])})


def _copy(worker: Worker, size: int, kib_per_s: int | None) -> None:
    """Say how far the copy is; only a limited one takes its time, and one that was asked to stall."""
    step_s = size / _STEPS / (kib_per_s * 1024) if kib_per_s else 0.0
    for percent in range(_STEPS + 1) if size else ():
        worker.log(f"transferred {_human(size * percent / _STEPS)} of {_human(size)} ({percent:.2f}%)")
        worker.spend(step_s + worker.record.pop("stall_s", 0.0))
    worker.spend(worker.record.pop("stall_s", 0.0))


def _human(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("the last unit always returns")


_NEED = both(
    perm("/vms/{vmid}", "VM.Clone"),
    either(perm("/vms/{newid}", "VM.Allocate"), perm("/pool/{pool}", "VM.Allocate", only_with="pool")),
)
_PARAMS = VM | {
    "newid": NEEDED_VMID,
    "name": text(dns_name),
    "description": text(),
    "pool": text(pool_id),
    "snapname": text(config_id, longest=40),
    "storage": text(storage_id),
    "format": one_of("raw", "qcow2", "vmdk"),
    "full": boolean(),
    "target": text(node),
    "bwlimit": integer(0),
}
ROUTES = (Route("POST", "/nodes/{node}/qemu/{vmid}/clone", _clone, _PARAMS, _NEED),)
