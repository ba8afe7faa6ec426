"""Back up one VM: behind its lock, what is on its disk into an archive, and out with what retention does not keep."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import archives, drives
from .failures import died
from .prune import marks
from .storage import unheard, written
from .tasks import Worker
from .vm_config import check_lock, render
from .vm_power import agent_answers, boot, powered_off
from .vm_status import agent_enabled

if TYPE_CHECKING:
    from .simulator import Simulator


@dataclass(frozen=True)
class How:
    """What a call asks for, whichever VMs it is about."""

    storage: str
    mode: str
    compress: str
    notes: str
    protected: bool
    retention: str
    stop_wait_min: int


@dataclass(frozen=True)
class _Backup:
    """One VM's backup under way; `mode` is None for a VM that is off."""

    sim: Simulator
    how: How
    vmid: int
    worker: Worker
    config: Mapping[str, str]
    mode: str | None
    volid: str
    moment: int

    @property
    def path(self) -> Path:
        return Path(self.sim.storages.path(self.volid))

    def beside(self, suffix: str) -> Path:
        """A file that is there only while the archive is made."""
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def say(self, line: str) -> None:
        self.worker.log(f"INFO: {line}")


def back_up(sim: Simulator, how: How, vmid: int, worker: Worker) -> None:
    running = sim.runtime.is_running(vmid) is not None
    worker.log(f"INFO: status = {'running' if running else 'stopped'}")
    with _locked(sim, vmid), worker.taking_its_time():
        config = dict(sim.configs.record(vmid)["config"])
        _say_content(config, how.mode if running else "stop", worker)
        for volid in _saved_disks(config).values():
            sim.storages.volume(volid)
        worker.spend(worker.record.get("stall_s", 0.0) / 2)
        name, moment = _free_name(sim, how, vmid)
        backup = _Backup(sim, how, vmid, worker, config, how.mode if running else None, name, moment)
        with _saved_disk(backup) as disk:
            _write(backup, disk)
        if not running:
            backup.say("stopping kvm after backup task")
        backup.say(f"archive file size: {_size(backup.path.stat().st_size)}")
        _keep(backup)
        _prune(backup)


def _say_content(config: Mapping[str, str], mode: str, worker: Worker) -> None:
    described = [f"VM Name: {config.get('name', '')}", *_disk_lines(config)]
    of_mode = [f"backup mode: {mode}", "ionice priority: 7"]
    for line in [*of_mode, *described] if mode == "stop" else [*described, *of_mode]:
        worker.log(f"INFO: {line}")


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


def _free_name(sim: Simulator, how: How, vmid: int) -> tuple[str, int]:
    """Names have seconds only; a backup in the second of the one before takes the next."""
    moment = int(time.time())
    while sim.storages.has(volid := f"{how.storage}:backup/{archives.name_of(vmid, moment, how.compress)}"):
        moment += 1
    return volid, moment


@contextmanager
def _saved_disk(backup: _Backup) -> Iterator[Path | None]:
    """The content of the VM's disk in a file of its own; None where nothing of it belongs into the backup."""
    disk = backup.beside("drive")
    disk.parent.mkdir(parents=True, exist_ok=True)
    try:
        has_system = _save(backup, disk)
        yield disk if has_system else None
    except Exception:
        backup.beside("dat").unlink(missing_ok=True)
        disk.unlink(missing_ok=True)
        raise
    disk.unlink(missing_ok=True)


def _save(backup: _Backup, disk: Path) -> bool:
    """Whether there is a disk to save; a VM that had to stop for it runs again afterwards."""
    off_since = _power_off(backup) if backup.mode == "stop" else None
    try:
        backup.say(f"creating vzdump archive '{backup.path}'")
        if backup.mode in {None, "stop"}:
            backup.say("starting kvm to execute backup task")
        elif agent_enabled(backup.config):
            _say_freeze(backup)
        has_system = drives.root_disk(backup.config) in _saved_disks(backup.config)
        if has_system:
            backup.sim.runtime.save_disk(backup.vmid, disk)
        backup.say(f"started backup task '{uuid.uuid4()}'")
    finally:
        if off_since is not None:
            boot(backup.sim, backup.vmid, backup.config, backup.worker)
    if off_since is not None:
        backup.say(f"resuming VM again after {time.time() - off_since:.0f} seconds")
    elif backup.mode is not None:
        backup.say("resuming VM again")
    return has_system


def _power_off(backup: _Backup) -> float:
    backup.say("stopping virtual guest")
    began, timeout_s = time.time(), backup.how.stop_wait_min * 60
    if not backup.sim.runtime.shutdown(backup.vmid, timeout_s * backup.sim.pace):
        command = f"qm shutdown {backup.vmid} --skiplock --keepActive --timeout {timeout_s}"
        raise died(f"command '{command}' failed: exit code 255")
    powered_off(backup.sim, backup.vmid, backup.worker)
    return began


def _say_freeze(backup: _Backup) -> None:
    """Nothing is really frozen: the guest's file systems are this machine's."""
    if agent_answers(backup.sim, backup.vmid, backup.worker):
        backup.say("issuing guest-agent 'fs-freeze' command")
        backup.say("issuing guest-agent 'fs-thaw' command")
    else:
        backup.say("skipping guest-agent 'fs-freeze', agent configured but not running?")


def _write(backup: _Backup, disk: Path | None) -> None:
    """The archive, under its final name only when it is whole."""
    data, worker = backup.beside("dat"), backup.worker
    available = backup.sim.storages.status(backup.how.storage)["avail"]
    worker.spend(worker.record.pop("stall_s", 0.0) / 2)
    archives.write(data, _saved_config(backup.config), disk)
    _say_progress(backup)
    if data.stat().st_size > available:
        if data.name.endswith(".zst.dat"):
            worker.log("zstd: error 70 : Write error : cannot write block : No space left on device")
        backup.say("aborting backup job")
        raise died("vma_queue_write: write error - Broken pipe")
    data.rename(backup.path)


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


def _say_progress(backup: _Backup) -> None:
    volumes = [backup.sim.storages.volume(volid) for volid in _saved_disks(backup.config).values()]
    size, used = sum(volume["size"] for volume in volumes), sum(written(volume) for volume in volumes)
    if not size:
        return
    whole = _human(size, 1)
    backup.say(f"100% ({whole} of {whole}) in 0s, read: {whole}/s, write: {_human(used, 1)}/s")
    backup.say(f"backup is sparse: {_human(size - used, 2)} ({(size - used) * 100 // size}%) total zero data")
    backup.say(f"transferred {_human(size, 2)} in <1 seconds")


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


def _keep(backup: _Backup) -> None:
    """The archive becomes a volume of its storage."""
    sim, how, config = backup.sim, backup.how, backup.config
    facts: dict[str, Any] = {"vmid": backup.vmid, "ctime": backup.moment}
    facts["format"] = archives.format_of(backup.path.name)
    facts["written"] = {slot: written(sim.storages.volume(of)) for slot, of in _saved_disks(config).items()}
    if how.notes:
        backup.say("adding notes to backup")
        known = {"guestname": config.get("name", ""), "vmid": str(backup.vmid), "node": sim.node}
        facts["notes"] = _notes(how.notes, known)
    if how.protected:
        backup.say("marking backup as protected")
        facts["protected"] = 1
    with sim.state.changing():
        sim.storages.put_file(backup.volid, backup.path, **facts)


def _notes(template: str, values: Mapping[str, str]) -> str:
    text = template.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
    return re.sub(r"\{\{([^}]+)\}\}", lambda match: values.get(match[1], ""), text)


def _prune(backup: _Backup) -> None:
    """Retention is applied after each VM, to that VM's backups alone."""
    sim, retention = backup.sim, backup.how.retention
    if retention in {"", "keep-all=1"}:
        return
    backup.say(f"prune older backups with retention: {', '.join(retention.split(','))}")
    found = marks(backups_of(sim, backup.how.storage, backup.vmid), retention)
    removed = sorted(volid for volid, mark in found.items() if mark == "remove")
    for volid in removed:
        backup.say(f"removing backup '{volid}'")
        with sim.state.changing():
            sim.storages.remove(volid, unheard)
    backup.say(f"pruned {len(removed)} backup(s) not covered by keep-retention policy")


def backups_of(sim: Simulator, storage: str, vmid: int | None) -> dict[str, dict[str, Any]]:
    found = {volid: record for volid, record in sim.storages.on(storage).items() if record["content"] == "backup"}
    return {volid: record for volid, record in found.items() if vmid in {None, record["vmid"]}}
