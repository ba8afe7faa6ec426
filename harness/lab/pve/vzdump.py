"""Back VMs up: which of them, one after the other, each behind its lock; what failed is in the log and `job errors`."""

from __future__ import annotations

import re
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import archives, backup_jobs, drives, formats
from .call import Call, Route
from .failures import ApiError, bad_parameters, died, failed_step
from .path_params import NODE
from .prune import marks
from .runtime import RuntimeFailed
from .schema import boolean, needed, split_list, text
from .storage import unheard
from .tasks import Interrupted, Worker
from .vm_config import check_lock, render
from .vm_power import agent_answers, boot, powered_off
from .vm_status import agent_enabled

if TYPE_CHECKING:
    from .simulator import Simulator

_ROOT_ONLY = ("tmpdir", "dumpdir", "script", "job-id")
_STOP_WAIT_MIN = 10
_NOT_HERE = ("comment", "dow", "enabled", "repeat-missed", "schedule", "starttime")


@dataclass(frozen=True)
class Wanted:
    """What one call asks for, beside the VMs."""

    vmids: tuple[int, ...]
    is_all: bool
    storage: str
    mode: str
    compress: str
    notes: str
    protected: bool
    retention: str
    stop_wait_min: int
    command: str


def _vzdump(call: Call) -> object:
    sim = call.sim
    _check_parameters(call)
    wanted = _read(call)
    if not wanted.vmids and not wanted.is_all:
        return "OK"
    call.check(f"/storage/{wanted.storage}", "Datastore.AllocateSpace")
    target = str(wanted.vmids[0]) if len(wanted.vmids) == 1 and not wanted.is_all else ""
    return sim.tasks.start("vzdump", target, call.user, lambda worker: _run(call, wanted, worker))


def _check_parameters(call: Call) -> None:
    params, selections = call.params, [key for key in ("vmid", "all", "pool") if call.params.get(key)]
    if not call.is_root and (special := [key for key in _ROOT_ONLY if key in params]):
        raise bad_parameters(dict.fromkeys(special, "Only root may set this option."))
    if not selections:
        raise bad_parameters({"vmid": "property is missing"})
    if len(selections) > 1:
        raise bad_parameters({selections[1]: f"option conflicts with option '{selections[0]}'"})
    if any(key in params for key in ("bwlimit", "ionice", "performance")):
        call.check("/", "Sys.Modify")
    if any(key in params for key in ("prune-backups", "maxfiles")):
        call.check(f"/storage/{params.get('storage', 'local')}", "Datastore.Allocate")
    if "pool" in params:
        call.sim.rights.check_pool_exists(params["pool"])
        call.check(f"/pool/{params['pool']}", "Pool.Audit")


def _read(call: Call) -> Wanted:
    sim, params = call.sim, call.params
    name = params.get("storage", "local")
    of_storage = sim.state["storages"].get(name, {}).get("prune-backups", "keep-all=1")
    retention = params.get("prune-backups", of_storage)
    return Wanted(
        vmids=tuple(_selected(call)),
        is_all=bool(params.get("all")),
        storage=name,
        mode=params.get("mode", "snapshot"),
        compress=params.get("compress", "0"),
        notes=params.get("notes-template", ""),
        protected=bool(params.get("protected")),
        retention=str(retention) if params.get("remove", 1) else "keep-all=1",
        stop_wait_min=params.get("stopwait", _STOP_WAIT_MIN),
        command=_command(call),
    )


def _selected(call: Call) -> Iterator[int]:
    params, excluded = call.params, split_list(str(call.params.get("exclude", "")))
    if "pool" in params:
        found = sorted(call.sim.state["pools"][params["pool"]]["vms"])
    elif params.get("all"):
        found = sorted(call.sim.configs.vmids())
    else:
        found = [int(number) for number in split_list(params["vmid"])]
    return (vmid for vmid in found if str(vmid) not in excluded)


def _command(call: Call) -> str:
    """The command line PVE shows in the log."""
    given = {key: str(value) for key, value in call.sent.items() if key not in {"node", "vmid"}}
    options = " ".join(f"--{key} {_quoted(value)}" for key, value in sorted({**given, "node": call.sim.node}.items()))
    vmids = " ".join(split_list(str(call.sent.get("vmid", ""))))
    return f"vzdump {vmids} {options}" if vmids else f"vzdump {options}"


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[\w./:,-]+", value) else f"'{shlex.quote(value).strip(chr(39))}'"


# -- the task ---------------------------------------------------------------------------------------------------------
def _run(call: Call, wanted: Wanted, worker: Worker) -> None:
    sim = call.sim
    _check_storage(sim, wanted.storage)
    with _alone(sim, worker):
        worker.log(f"INFO: starting new backup job: {wanted.command}")
        if wanted.is_all:
            vmids = [vmid for vmid in wanted.vmids if call.may(f"/vms/{vmid}", "VM.Backup")]
        else:
            vmids = list(wanted.vmids)
            for vmid in vmids:
                call.check(f"/vms/{vmid}", "VM.Backup")
        failed = [vmid for vmid in vmids if not _backed_up(sim, wanted, vmid, worker)]
    if failed:
        worker.log("INFO: Backup job finished with errors")
        raise died("job errors")
    worker.log("INFO: Backup job finished successfully")


def _check_storage(sim: Simulator, name: str) -> None:
    if name not in sim.storages.names():
        why = f"storage '{name}' does not exist"
        raise died(f"could not activate storage '{name}': {why} could not get storage information for '{name}': {why}")
    with failed_step(f"could not get storage information for '{name}': "):
        record = sim.storages.config(name)
        if record.get("disable"):
            raise died(f"storage '{name}' is disabled")
        if "backup" not in record["content"].split(","):
            raise died(f"can't use storage '{name}' for backups - wrong content type")


@contextmanager
def _alone(sim: Simulator, worker: Worker) -> Iterator[None]:
    """One vzdump at a time on a node; the others wait."""
    if not sim.backup_lock.acquire(blocking=False):
        worker.log("INFO: trying to get global lock - waiting...")
        while not sim.backup_lock.acquire(timeout=0.02):
            worker.spend(0.02)
        worker.log("INFO: got global lock")
    try:
        yield
    finally:
        sim.backup_lock.release()


def _backed_up(sim: Simulator, wanted: Wanted, vmid: int, worker: Worker) -> bool:
    """Whether it worked; what went wrong is in the log, and the next VM has its turn."""
    started = time.time()
    try:
        if not sim.configs.exists(vmid):
            raise died(f"unable to find VM '{vmid}'")
        worker.log(f"INFO: Starting Backup of VM {vmid} (qemu)")
        worker.log(f"INFO: Backup started at {_stamp(started)}")
        _back_up(sim, wanted, vmid, worker)
    except Interrupted:
        worker.log(f"ERROR: Backup of VM {vmid} failed - interrupted by signal")
        raise
    except (ApiError, RuntimeFailed, OSError) as error:
        said = error.task_text() if isinstance(error, ApiError) else str(error)
        worker.log(f"ERROR: Backup of VM {vmid} failed - {said}")
        worker.log(f"INFO: Failed at {_stamp(time.time())}")
        return False
    worker.log(f"INFO: Finished Backup of VM {vmid} ({_duration(time.time() - started)})")
    worker.log(f"INFO: Backup finished at {_stamp(time.time())}")
    return True


def _stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def _back_up(sim: Simulator, wanted: Wanted, vmid: int, worker: Worker) -> None:
    running = sim.runtime.is_running(vmid) is not None
    worker.log(f"INFO: status = {'running' if running else 'stopped'}")
    mode = wanted.mode if running else "stop"
    with _locked(sim, vmid):
        config = dict(sim.configs.record(vmid)["config"])
        described = [f"VM Name: {config.get('name', '')}", *_disk_lines(config)]
        of_mode = [f"backup mode: {mode}", "ionice priority: 7"]
        for line in [*of_mode, *described] if mode == "stop" else [*described, *of_mode]:
            worker.log(f"INFO: {line}")
        for volid in _saved_disks(config).values():
            sim.storages.volume(volid)
        worker.spend(worker.record.get("stall_s", 0.0) / 2)
        volid, moment = _free_name(sim, wanted, vmid)
        path = Path(sim.storages.path(volid))
        with _saved_disk(sim, wanted, vmid, path, config=config, worker=worker, mode=mode if running else None) as disk:
            _write(sim, wanted.storage, config, path, disk=disk, worker=worker)
        if not running:
            worker.log("INFO: stopping kvm after backup task")
        worker.log(f"INFO: archive file size: {_size(path.stat().st_size)}")
        _keep(sim, wanted, vmid, volid, config=config, moment=moment, worker=worker)
        _prune(sim, wanted, vmid, worker)


@contextmanager
def _locked(sim: Simulator, vmid: int) -> Iterator[None]:
    """`lock: backup` in the configuration; a killed worker leaves it there."""
    _set_lock(sim, vmid, "backup")
    try:
        yield
    except Exception:
        _set_lock(sim, vmid, None)
        raise
    _set_lock(sim, vmid, None)


def _set_lock(sim: Simulator, vmid: int, lock: str | None) -> None:
    with sim.locks.exclusive(vmid), sim.state.changing():
        record = sim.configs.record(vmid)
        if lock is None:
            record["config"].pop("lock", None)
            return
        check_lock(record)
        record["config"]["lock"] = lock


def _saved_disks(config: Mapping[str, str]) -> dict[str, str]:
    """slot -> volume ID of what belongs into a backup."""
    slots = (slot for slot in sorted(config) if drives.is_drive(slot) and not drives.is_cdrom(config[slot]))
    kept = (slot for slot in slots if drives.parse(slot, config[slot]).get("backup", "1") != "0")
    found = {slot: drives.volume_of(slot, config[slot]) for slot in kept}
    return {slot: volid for slot, volid in found.items() if volid is not None}


def _disk_lines(config: Mapping[str, str]) -> Iterator[str]:
    saved = _saved_disks(config)
    for slot, volid in drives.disks(config).items():
        if slot in saved:
            yield f"include disk '{slot}' '{volid}' {drives.parse(slot, config[slot]).get('size', '0')}"
        elif drives.is_drive(slot) and not drives.is_cdrom(config[slot]):
            yield f"exclude disk '{slot}' '{volid}' (backup=no)"
        elif not drives.is_drive(slot):
            yield f"skip unused drive '{volid}' (not included into backup)"
    if not saved:
        yield "backup contains no disks"


def _free_name(sim: Simulator, wanted: Wanted, vmid: int) -> tuple[str, int]:
    """Names have seconds only; a backup in the second of the one before takes the next."""
    moment = int(time.time())
    while sim.storages.has(volid := f"{wanted.storage}:backup/{archives.name_of(vmid, moment, wanted.compress)}"):
        moment += 1
    return volid, moment


@contextmanager
def _saved_disk(
    sim: Simulator,
    wanted: Wanted,
    vmid: int,
    path: Path,
    *,
    config: Mapping[str, str],
    worker: Worker,
    mode: str | None,
) -> Iterator[Path | None]:
    """The content of the VM's disk in a file of its own; None where nothing of it belongs into the backup."""
    disk = path.with_name(f"{path.name}.drive")
    path.parent.mkdir(parents=True, exist_ok=True)
    off_since = _power_off(sim, wanted, vmid, worker) if mode == "stop" else None
    try:
        worker.log(f"INFO: creating vzdump archive '{path}'")
        if mode in {None, "stop"}:
            worker.log("INFO: starting kvm to execute backup task")
        elif agent_enabled(config):
            _say_freeze(sim, vmid, worker)
        if has_system := drives.root_disk(config) in _saved_disks(config):
            sim.runtime.save_disk(vmid, disk)
        worker.log(f"INFO: started backup task '{uuid.uuid4()}'")
    except Exception:
        disk.unlink(missing_ok=True)
        raise
    finally:
        if off_since is not None:
            boot(sim, vmid, config, worker)
    if mode is not None:
        worker.log("INFO: resuming VM again" + (f" after {time.time() - off_since:.0f} seconds" if off_since else ""))
    try:
        yield disk if has_system else None
    except Exception:
        path.with_name(f"{path.name}.dat").unlink(missing_ok=True)
        raise
    finally:
        disk.unlink(missing_ok=True)


def _power_off(sim: Simulator, wanted: Wanted, vmid: int, worker: Worker) -> float:
    worker.log("INFO: stopping virtual guest")
    began, timeout_s = time.time(), wanted.stop_wait_min * 60
    if not sim.runtime.shutdown(vmid, timeout_s * sim.pace):
        command = f"qm shutdown {vmid} --skiplock --keepActive --timeout {timeout_s}"
        raise died(f"command '{command}' failed: exit code 255")
    powered_off(sim, vmid, worker)
    return began


def _say_freeze(sim: Simulator, vmid: int, worker: Worker) -> None:
    """Nothing is really frozen: the guest's file systems are this machine's."""
    if agent_answers(sim, vmid, worker):
        worker.log("INFO: issuing guest-agent 'fs-freeze' command")
        worker.log("INFO: issuing guest-agent 'fs-thaw' command")
    else:
        worker.log("INFO: skipping guest-agent 'fs-freeze', agent configured but not running?")


def _write(
    sim: Simulator, storage: str, config: Mapping[str, str], path: Path, *, disk: Path | None, worker: Worker
) -> None:
    """The archive under its final name only when it is whole."""
    data = path.with_name(f"{path.name}.dat")
    available = sim.storages.status(storage)["avail"]
    worker.spend(worker.record.pop("stall_s", 0.0) / 2)
    archives.write(data, _saved_config(config), disk)
    _say_progress(sim, config, worker)
    if data.stat().st_size > available:
        if path.name.endswith(".zst"):
            worker.log("zstd: error 70 : Write error : cannot write block : No space left on device")
        worker.log("INFO: aborting backup job")
        raise died("vma_queue_write: write error - Broken pipe")
    data.rename(path)


def _saved_config(config: Mapping[str, str]) -> str:
    """The text that goes into the archive, with a line for each disk in it."""
    kept = {key: value for key, value in config.items() if key not in {"lock", "parent"} and key[:6] != "unused"}
    lines = []
    for slot, volid in _saved_disks(config).items():
        form = drives.parse(slot, config[slot]).get("format") or _format(volid)
        lines.append(f"#qmdump#map:{slot}:drive-{slot}:{volid.partition(':')[0]}:{form}:\n")
    return render({"config": kept, "pending": {}, "delete": {}}) + "".join(lines)


def _format(volid: str) -> str:
    return volid.rpartition(".")[2] if volid.endswith((".qcow2", ".vmdk")) else "raw"


def _say_progress(sim: Simulator, config: Mapping[str, str], worker: Worker) -> None:
    volumes = [sim.storages.volume(volid) for volid in _saved_disks(config).values()]
    size, used = sum(volume["size"] for volume in volumes), sum(volume["used"] for volume in volumes)
    if not size:
        return
    all_of_it = _human(size, 1)
    worker.log(f"INFO: 100% ({all_of_it} of {all_of_it}) in 0s, read: {all_of_it}/s, write: {_human(used, 1)}/s")
    worker.log(f"INFO: backup is sparse: {_human(size - used, 2)} ({(size - used) * 100 // size}%) total zero data")
    worker.log(f"INFO: transferred {_human(size, 2)} in <1 seconds")


def _human(size: float, digits: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.{digits}f} {unit}"
        size /= 1024
    return f"{size:.{digits}f} GiB"


def _size(size: int) -> str:
    """`14MB`: what is behind the point does not count."""
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}GB"


def _keep(
    sim: Simulator, wanted: Wanted, vmid: int, volid: str, *, config: Mapping[str, str], moment: int, worker: Worker
) -> None:
    """The archive becomes a volume of its storage."""
    path = Path(sim.storages.path(volid))
    facts: dict[str, Any] = {"vmid": vmid, "ctime": moment, "format": archives.format_of(path.name)}
    facts["written"] = {slot: sim.storages.volume(of)["used"] for slot, of in _saved_disks(config).items()}
    if wanted.notes:
        worker.log("INFO: adding notes to backup")
        facts["notes"] = _notes(
            wanted.notes, {"guestname": config.get("name", ""), "vmid": str(vmid), "node": sim.node}
        )
    if wanted.protected:
        worker.log("INFO: marking backup as protected")
        facts["protected"] = 1
    with sim.state.changing():
        sim.storages.put_file(volid, path, **facts)


def _notes(template: str, values: Mapping[str, str]) -> str:
    text = template.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
    return re.sub(r"\{\{([^}]+)\}\}", lambda match: values.get(match[1], ""), text)


def _prune(sim: Simulator, wanted: Wanted, vmid: int, worker: Worker) -> None:
    """Retention is applied after each VM, to that VM's backups alone."""
    if wanted.retention in {"", "keep-all=1"}:
        return
    worker.log(f"INFO: prune older backups with retention: {', '.join(wanted.retention.split(','))}")
    found = marks(backups_of(sim, wanted.storage, vmid), wanted.retention)
    removed = sorted(volid for volid, mark in found.items() if mark == "remove")
    for volid in removed:
        worker.log(f"INFO: removing backup '{volid}'")
        with sim.state.changing():
            sim.storages.remove(volid, unheard)
    worker.log(f"INFO: pruned {len(removed)} backup(s) not covered by keep-retention policy")


def backups_of(sim: Simulator, storage: str, vmid: int | None) -> dict[str, dict[str, Any]]:
    found = {volid: record for volid, record in sim.storages.on(storage).items() if record["content"] == "backup"}
    return {volid: record for volid, record in found.items() if vmid in {None, record["vmid"]}}


def _defaults(call: Call) -> object:
    """What PVE does when it is not told otherwise."""
    record = call.sim.state["storages"].get(call.params.get("storage", "local"), {})
    folder = {"storage": call.params["storage"]} if "storage" in call.params else {"storage": "local"}
    return folder | {
        "all": 0, "bwlimit": 0, "compress": "0", "dumpdir": f"{record.get('path', '')}/dump",
        "fleecing": {"enabled": 0}, "ionice": 7, "lockwait": 180, "mailnotification": "always", "mode": "snapshot",
        "notification-mode": "auto", "notification-policy": "always", "performance": {"max-workers": 16,
        "pbs-entries-max": 1048576}, "pigz": 0, "prune-backups": record.get("prune-backups", "keep-all=1"), "quiet": 0,
        "remove": 1, "stdexcludes": 1, "stop": 0, "stopwait": 10, "zstd": 1,
    }  # fmt: skip


def _config_inside(call: Call) -> object:
    """The configuration in an archive, as text."""
    volid = call.params["volume"]
    drives.check_volume_access(call, volid, None)
    call.sim.storages.volume(volid)
    return archives.read_config(Path(call.sim.storages.path(volid)))


_PARAMS = (
    NODE
    | {key: param for key, param in backup_jobs.OPTIONS.items() if key not in _NOT_HERE}
    | {"job-id": text(longest=50), "stdout": boolean()}
)
ROUTES = (
    Route("POST", "/nodes/{node}/vzdump", _vzdump, _PARAMS),
    Route("GET", "/nodes/{node}/vzdump/defaults", _defaults, NODE | {"storage": text(formats.storage_id)}),
    Route("GET", "/nodes/{node}/vzdump/extractconfig", _config_inside, NODE | {"volume": needed(text())}),
)
