"""One volume of a storage: look at it, note something on it, protect it, remove it; and remove backups by retention."""

from __future__ import annotations

from typing import Any

from . import drives, formats
from .call import Call, Route
from .failures import bad_parameters, died
from .path_params import STORAGE
from .prune import KEEP, marks
from .rights import perm
from .schema import boolean, integer, needed, one_of, text
from .tasks import Worker
from .vm_backup import backups_of

_ACCESS = ("Datastore.Audit", "Datastore.AllocateSpace")


def _volid(call: Call) -> str:
    """The volume is named with or without its storage."""
    name, volume = call.params["storage"], call.params["volume"]
    if ":" not in volume:
        return f"{name}:{volume}"
    if volume.partition(":")[0] != name:
        raise bad_parameters({"storage": f"storage ID missmatch ({volume.partition(':')[0]} != {name})"})  # sic
    return str(volume)


def _info(call: Call) -> object:
    volid, storages = _volid(call), call.sim.storages
    drives.check_volume_access(call, volid, None)
    record = storages.volume(volid)
    size = record.get("virtual", record["size"])
    shown = {"path": storages.path(volid), "size": size, "used": record["used"], "format": record["format"]}
    if record["content"] == "backup":
        # The file is no image of a disk, so PVE calls it raw.
        shown |= {"format": "raw", "notes": record.get("notes", ""), "protected": record.get("protected", 0)}
    return shown


def _update(call: Call) -> None:
    volid = _volid(call)
    drives.check_volume_access(call, volid, None)
    with call.sim.state.changing():
        record = call.sim.storages.volume(volid)
        if record["content"] != "backup":
            raise died(f"attribute '{'notes' if 'notes' in call.params else 'protected'}' is not supported for it")
        if "notes" in call.params:
            record["notes"] = call.params["notes"]
        if "protected" in call.params:
            record["protected"] = call.params["protected"]


def _delete(call: Call) -> object:
    sim, volid = call.sim, _volid(call)
    name = volid.partition(":")[0]
    sim.storages.parse(volid)
    owner, content = drives.nature(sim.storages, volid)
    if content == "backup":
        call.check(f"/storage/{name}", "Datastore.AllocateSpace")
        call.check(f"/vms/{owner}", "VM.Backup")
    else:
        call.check(f"/storage/{name}", "Datastore.Allocate")

    def work(worker: Worker) -> None:
        worker.spend(worker.record.pop("stall_s", 0.0))
        if sim.storages.clones_of(volid):
            raise died(f"base volume '{volid}' is still in use by linked cloned")  # sic
        with worker.taking_its_time(), sim.state.changing():
            sim.storages.remove(volid, worker.log)
        worker.log(f"Removed volume '{volid}'")

    upid = sim.tasks.start("imgdel", f"{owner}@{name}" if owner else name, call.user, work)
    delay = call.params.get("delay")
    if delay is None or not sim.tasks.wait(upid, delay * sim.pace):
        return upid
    status = sim.tasks.find(upid)["status"]
    if status != "OK":
        raise died(status)
    return None


# -- by retention -----------------------------------------------------------------------------------------------------
def _retention(call: Call) -> str:
    name = call.params["storage"]
    given = call.params.get("prune-backups", call.sim.storages.config(name).get("prune-backups"))
    if given is None:
        raise died(f"no prune-backups options configured for storage '{name}'")
    return str(given)


def _would_prune(call: Call) -> object:
    retention = _retention(call)
    backups = backups_of(call.sim, call.params["storage"], call.params.get("vmid"))
    found = marks(backups, retention) if call.params.get("type", "qemu") == "qemu" else {}
    return [_marked(volid, backups[volid], mark) for volid, mark in sorted(found.items())]


def _marked(volid: str, record: dict[str, Any], mark: str) -> dict[str, Any]:
    return {"volid": volid, "ctime": record["ctime"], "vmid": record["vmid"], "type": "qemu", "mark": mark}


def _prune(call: Call) -> object:
    sim, name, vmid = call.sim, call.params["storage"], call.params.get("vmid")
    if vmid is not None and not call.may(f"/storage/{name}", "Datastore.Allocate"):
        call.check(f"/storage/{name}", "Datastore.AllocateSpace")
        call.check(f"/vms/{vmid}", "VM.Backup")
    elif vmid is None:
        call.check(f"/storage/{name}", "Datastore.Allocate")
    retention = _retention(call)

    def work(worker: Worker) -> None:
        found = marks(backups_of(sim, name, vmid), retention)
        for volid in sorted(volid for volid, mark in found.items() if mark == "remove"):
            worker.log(f"removing backup '{volid}'")
            with sim.state.changing():
                sim.storages.remove(volid, worker.log)

    return sim.tasks.start("prunebackups", f"{vmid}@{name}" if vmid else name, call.user, work)


_VOLUME = STORAGE | {"volume": needed(text())}
_CHANGES = {"notes": text(), "protected": boolean()}
_PRUNE = STORAGE | {
    "prune-backups": text(KEEP.check("prune-backups")),
    "type": one_of("qemu", "lxc"),
    "vmid": integer(100, 999999999, check=formats.vmid),
}
_ONE = "/nodes/{node}/storage/{storage}/content/{volume}"
_OF_STORAGE = "/nodes/{node}/storage/{storage}/prunebackups"
ROUTES = (
    Route("GET", _ONE, _info, _VOLUME),
    Route("PUT", _ONE, _update, _VOLUME | _CHANGES),
    Route("DELETE", _ONE, _delete, _VOLUME | {"delay": integer(1, 30)}),
    Route("GET", _OF_STORAGE, _would_prune, _PRUNE, perm("/storage/{storage}", *_ACCESS, any_of_them=True)),
    Route("DELETE", _OF_STORAGE, _prune, _PRUNE),
)
