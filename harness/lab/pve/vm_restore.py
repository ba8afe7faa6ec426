"""Restore a VM from a backup: over the one that is there or as a new one, with the disk's content of that day.

As on a real node the old disks are freed before the first byte comes back, and a failure leaves what it had done.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import archives, drives
from .call import Call
from .failures import bad_parameters, died, failed_step
from .pools import add_vm
from .runtime import RuntimeFailed
from .storage import format_size, parse_size
from .tasks import Worker
from .vm_config import check_lock, parse, stored_description
from .vm_pending import is_net
from .vm_power import start_vm
from .vm_rights import check_bridges, check_keys
from .vm_update import stored_net

if TYPE_CHECKING:
    from .simulator import Simulator

_LOCK_WAIT_S = 5.0
_LEFT = (
    "error before or during data restore, some or all disks were not completely restored. "
    "VM {} state is NOT cleaned up."
)


@dataclass(frozen=True)
class Wanted:
    """One checked request."""

    call: Call
    vmid: int
    archive: str
    values: Mapping[str, str]

    @property
    def sim(self) -> Simulator:
        return self.call.sim

    @property
    def path(self) -> Path:
        return Path(self.sim.storages.path(self.archive))

    @property
    def storage(self) -> str | None:
        name: str | None = self.call.params.get("storage")
        return name


def restore(call: Call, values: Mapping[str, str]) -> object:
    """The whole call: what it may, the lock that others see at once, and the task."""
    sim = call.sim
    with sim.state.lock:
        wanted = _checked(call, values)
    _take(wanted)

    def work(worker: Worker) -> None:
        try:
            with sim.locks.exclusive(wanted.vmid, worker.log, 1.0):
                _restore(wanted, worker)
        except Exception:
            with sim.state.changing():
                sim.configs.record(wanted.vmid)["config"].pop("lock", None)
            worker.log(_LEFT.format(wanted.vmid))
            raise
        if call.params.get("start"):
            worker.log("Execute autostart")
            sim.tasks.start("qmstart", str(wanted.vmid), call.user, lambda own: start_vm(sim, wanted.vmid, own, {}))

    return sim.tasks.start("qmrestore", str(wanted.vmid), call.user, work)


def _checked(call: Call, values: Mapping[str, str]) -> Wanted:
    archive, vmid = call.params["archive"], call.vmid
    for key in values:
        if drives.is_drive(key):
            raise bad_parameters({key: "option conflicts with option 'archive'"})
    if "storage" in call.params:
        call.check(f"/storage/{call.params['storage']}", "Datastore.AllocateSpace")
    if archive.startswith("/") and not call.is_root:
        raise died("Only root can pass arbitrary filesystem paths.")
    if ":" not in archive:
        raise died(f"can't find file '{archive}'")
    drives.check_volume_access(call, archive, vmid)
    record = call.sim.storages.volume(archive)
    if record["content"] != "backup":
        raise died(f"'{archive}' is not a backup volume")
    check_keys(call, values, (), creating=True)
    check_bridges(call, [value for key, value in values.items() if is_net(key)])
    return Wanted(call, vmid, archive, values)


def _take(wanted: Wanted) -> None:
    """`lock: create` in a new configuration, or in the one that is there."""
    sim, vmid = wanted.sim, wanted.vmid
    refused = failed_step(f"unable to restore VM {vmid} - ")
    with refused, sim.locks.exclusive(vmid, None, _LOCK_WAIT_S), sim.state.changing():
        if not sim.configs.exists(vmid):
            sim.configs.write(vmid, {"lock": "create"})
            return
        if not wanted.call.params.get("force"):
            raise died(f"VM {vmid} already exists on node '{sim.node}'")
        record = sim.configs.record(vmid)
        check_lock(record)
        record["config"]["lock"] = "create"


def _restore(wanted: Wanted, worker: Worker) -> None:
    sim, vmid = wanted.sim, wanted.vmid
    old = sim.configs.record(vmid)["config"]
    if old.get("protection") == "1":
        raise died(f"unable to restore VM {vmid} - - protection mode enabled")  # sic
    if sim.runtime.is_running(vmid) is not None:
        raise died(f"unable to restore VM {vmid} - vm is running")
    command = archives.restore_command(str(wanted.path), worker.record["pid"])
    worker.log(f"restore vma archive: {command}")
    if not wanted.path.exists():
        raise died(f"command 'set -o pipefail && {command}' failed: unable to open '{wanted.path}'")
    with failed_step(f"command 'set -o pipefail && {command}' failed: "):
        text = archives.read_config(wanted.path)
        own = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#qmdump#"))
        config, origins = parse(own), archives.drive_map(text)
        check_bridges(wanted.call, [value for key, value in (config | dict(wanted.values)).items() if is_net(key)])
        _say_content(wanted, text, config, origins, worker)
        with worker.taking_its_time():
            made = _bring_back(wanted, config, origins, old, worker)
    worker.log("rescan volumes...")
    _configure(wanted, config, made, worker)


def _say_content(
    wanted: Wanted, text: str, config: Mapping[str, str], origins: Mapping[str, str], worker: Worker
) -> None:
    worker.log(f"CFG: size: {len(text.encode())} name: qemu-server.conf")
    for number, slot in enumerate(origins, start=1):
        worker.log(f"DEV: dev_id={number} size: {_size(config, slot)} devname: drive-{slot}")
    saved = wanted.sim.storages.volume(wanted.archive)["ctime"]
    worker.log(f"CTIME: {time.strftime('%a %b %e %H:%M:%S %Y', time.localtime(saved))}")


def _size(config: Mapping[str, str], slot: str) -> int:
    return parse_size(drives.parse(slot, config[slot]).get("size", "0"))


def _bring_back(
    wanted: Wanted, config: Mapping[str, str], origins: Mapping[str, str], old: Mapping[str, str], worker: Worker
) -> dict[str, str]:
    """slot -> new volume ID, with the content of the archive on it."""
    targets = {slot: wanted.storage or origin for slot, origin in origins.items()}
    for target in targets.values():
        wanted.sim.storages.config(target)
        wanted.call.check(f"/storage/{target}", "Datastore.AllocateSpace")
        wanted.sim.storages.check_images(target)
    _free(wanted, origins, old, worker)
    made: dict[str, str] = {}
    try:
        for slot, target in targets.items():
            made[slot] = _allocate(wanted, target, slot, config, worker)
        _copy(wanted, config, made, worker)
    except Exception:
        with wanted.sim.state.changing():
            for volid in made.values():
                wanted.sim.storages.remove(volid, worker.log)
                worker.log(f"temporary volume '{volid}' sucessfuly removed")  # sic
        wanted.sim.runtime.destroy_disk(wanted.vmid)
        raise
    return made


def _free(wanted: Wanted, origins: Mapping[str, str], old: Mapping[str, str], worker: Worker) -> None:
    """The old disks that come back are gone from here on; others stay and become unused ones."""
    storages = wanted.sim.storages
    with wanted.sim.state.changing():
        for slot, volid in drives.disks(old).items():
            if slot in origins and storages.has(volid) and storages.volume(volid)["vmid"] == wanted.vmid:
                storages.remove(volid, worker.log)
    if drives.root_disk(old) in origins:
        wanted.sim.runtime.destroy_disk(wanted.vmid)


def _allocate(wanted: Wanted, target: str, slot: str, config: Mapping[str, str], worker: Worker) -> str:
    storages = wanted.sim.storages
    before = drives.volume_of(slot, config[slot]) or ""
    form = before.rpartition(".")[2] if storages.is_file_based(target) and before.endswith((".qcow2", ".raw")) else None
    with wanted.sim.state.changing():
        volid = storages.allocate(target, wanted.vmid, _size(config, slot), form, worker.log)
    worker.log(f"new volume ID is '{volid}'")
    worker.log(f"map 'drive-{slot}' to '{storages.path(volid)}' (write zeros = 0)")
    return volid


def _copy(wanted: Wanted, config: Mapping[str, str], made: Mapping[str, str], worker: Worker) -> None:
    """The data, and how much of each volume it fills."""
    sim, total = wanted.sim, sum(_size(config, slot) for slot in made)
    archive = sim.storages.volume(wanted.archive)
    used = {slot: int(archive.get("written", {}).get(slot, _size(config, slot) // 6)) for slot in made}
    half = _steps(total, worker)
    next(half, None)
    worker.spend(worker.record.pop("stall_s", 0.0))
    for slot, volid in made.items():
        if sim.storages.status(volid.partition(":")[0])["avail"] < used[slot]:
            raise died("vma: restore failed - blk_pwrite to  failed (-28)")
        with sim.state.changing():
            sim.storages.volume(volid)["used"] = used[slot]
    disk = wanted.path.with_name(f".{wanted.path.name}.{wanted.vmid}.drive")
    try:
        if archives.extract_disk(wanted.path, disk):
            sim.runtime.load_disk(wanted.vmid, disk)
    except RuntimeFailed as error:
        raise died(f"vma: restore failed - {error}") from error
    finally:
        disk.unlink(missing_ok=True)
    list(half)
    written = sum(used.values())
    if total:
        share = f"{(total - written) * 100 / total:.3g}%"
        worker.log(f"total bytes read {total}, sparse bytes {total - written} ({share})")
        worker.log("space reduction due to 4K zero blocks 0%")


def _steps(total: int, worker: Worker) -> Iterator[None]:
    for percent in range(1, 101) if total else ():
        worker.log(f"progress {percent}% (read {total * percent // 100} bytes, duration 0 sec)")
        if percent == 50:
            yield


def _configure(wanted: Wanted, config: dict[str, str], made: Mapping[str, str], worker: Worker) -> None:
    """The archive's configuration with what must be this VM's own; nothing tells it from an untouched one."""
    sim, vmid, params = wanted.sim, wanted.vmid, wanted.call.params
    config = _adapted(sim, config, made, unique=bool(params.get("unique")))
    for key, value in wanted.values.items():
        config[key] = stored_net(sim, key, value) if is_net(key) else value
    if "description" in config:
        config["description"] = stored_description(config["description"])
    with sim.state.changing():
        for volid in sim.storages.volumes_of(vmid):
            if sim.storages.volume(volid)["content"] == "images" and volid not in drives.disks(config).values():
                slot = drives.free_unused_slot(config)
                config[slot] = volid
                worker.log(f"VM {vmid} add unreferenced volume '{volid}' as '{slot}' to config")
        if config.get("template") == "1":
            worker.log("Convert to template.")
            for slot, volid in made.items():
                config[slot] = config[slot].replace(volid, sim.storages.to_base(volid), 1)
        sim.configs.write(vmid, config)
        if "pool" in params:
            add_vm(sim.state, params["pool"], vmid)


def _adapted(sim: Simulator, archived: Mapping[str, str], made: Mapping[str, str], *, unique: bool) -> dict[str, str]:
    config: dict[str, str] = {}
    left_out = []
    for key, value in archived.items():
        if key in {"lock", "parent"} or key.startswith("unused"):
            continue
        if key in made:
            values = drives.parse(key, value) | {"file": made[key]}
            values.pop("format", None)
            config[key] = drives.render(values | {"size": format_size(sim.storages.volume(made[key])["size"])})
        elif drives.is_drive(key) and drives.parse(key, value).get("backup") == "0":
            left_out.append(f"{key}: {value}")
        else:
            config[key] = value
    if left_out:  # PVE comments such lines out, and comments are the description
        config["description"] = "\n".join([*config.get("description", "").splitlines(), *left_out])
    if config.get("vmgenid", "0") != "0":
        config["vmgenid"] = str(uuid.uuid4())
    if unique:
        config |= _fresh_identity(sim, config)
    return config


def _fresh_identity(sim: Simulator, config: Mapping[str, str]) -> dict[str, str]:
    """Other MACs and another uuid."""
    fresh = {}
    for key, value in config.items():
        if is_net(key):
            head, comma, rest = value.partition(",")
            fresh[key] = f"{head.partition('=')[0]}={sim.random_mac()}{comma}{rest}"
    others = [part for part in config.get("smbios1", "").split(",") if part and not part.startswith("uuid=")]
    return fresh | {"smbios1": ",".join([f"uuid={uuid.uuid4()}", *others])}
