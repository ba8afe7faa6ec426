"""Back VMs up: which of them, one after the other, each behind its lock; what failed is in the log and `job errors`."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import archives, backup_jobs, drives, formats
from .call import Call, Route
from .failures import ApiError, bad_parameters, died, failed_step
from .path_params import NODE
from .runtime import RuntimeFailed
from .schema import boolean, needed, split_list, text
from .tasks import Interrupted, Worker
from .vm_backup import How, back_up

if TYPE_CHECKING:
    from .simulator import Simulator

_ROOT_ONLY = ("tmpdir", "dumpdir", "script", "job-id")
_STOP_WAIT_MIN = 10
_NOT_HERE = ("comment", "dow", "enabled", "repeat-missed", "schedule", "starttime")


@dataclass(frozen=True)
class Wanted:
    """What one call asks for."""

    vmids: tuple[int, ...]
    is_all: bool
    how: How
    command: str


def _vzdump(call: Call) -> object:
    sim = call.sim
    _check_parameters(call)
    wanted = _read(call)
    if not wanted.vmids and not wanted.is_all:
        return "OK"
    call.check(f"/storage/{wanted.how.storage}", "Datastore.AllocateSpace")
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
    return Wanted(
        vmids=tuple(_selected(call)),
        is_all=bool(call.params.get("all")),
        how=_how(call),
        command=_command(call),
    )


def _how(call: Call) -> How:
    params, name = call.params, call.params.get("storage", "local")
    of_storage = call.sim.state["storages"].get(name, {}).get("prune-backups", "keep-all=1")
    retention = params.get("prune-backups", of_storage)
    return How(
        storage=name,
        mode=params.get("mode", "snapshot"),
        compress=params.get("compress", "0"),
        notes=params.get("notes-template", ""),
        protected=bool(params.get("protected")),
        retention=str(retention) if params.get("remove", 1) else "keep-all=1",
        stop_wait_min=params.get("stopwait", _STOP_WAIT_MIN),
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
    _check_storage(sim, wanted.how.storage)
    with _alone(sim, worker):
        worker.log(f"INFO: starting new backup job: {wanted.command}")
        if wanted.is_all:
            vmids = [vmid for vmid in wanted.vmids if call.may(f"/vms/{vmid}", "VM.Backup")]
        else:
            vmids = list(wanted.vmids)
            for vmid in vmids:
                call.check(f"/vms/{vmid}", "VM.Backup")
        failed = [vmid for vmid in vmids if not _backed_up(sim, wanted.how, vmid, worker)]
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


def _backed_up(sim: Simulator, how: How, vmid: int, worker: Worker) -> bool:
    """Whether it worked; what went wrong is in the log, and the next VM has its turn."""
    started = time.time()
    try:
        if not sim.configs.exists(vmid):
            raise died(f"unable to find VM '{vmid}'")
        worker.log(f"INFO: Starting Backup of VM {vmid} (qemu)")
        worker.log(f"INFO: Backup started at {_stamp(started)}")
        back_up(sim, how, vmid, worker)
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
