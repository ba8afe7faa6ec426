"""Destroy a VM, grow its disks, turn it into a template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import drives, vm_options
from .call import Call, Route
from .failures import died
from .path_params import VM
from .pools import forget_vm
from .rights import perm
from .schema import boolean, needed, one_of, split_list, text
from .tasks import Worker
from .vm_config import check_lock, digest

if TYPE_CHECKING:
    from .simulator import Simulator


def _destroy(call: Call) -> object:
    sim, vmid = call.sim, call.vmid
    _check_destroyable(sim, vmid)
    purge, skip_lock = bool(call.params.get("purge")), bool(call.params.get("skiplock"))
    unreferenced = bool(call.params.get("destroy-unreferenced-disks"))

    def work(worker: Worker) -> None:
        with sim.locks.exclusive(vmid, worker.log), worker.taking_its_time():
            worker.spend(worker.record.pop("stall_s", 0.0))
            _check_destroyable(sim, vmid)
            record = sim.configs.record(vmid)
            if not skip_lock:
                check_lock(record)
            _remove(sim, vmid, worker, unreferenced=unreferenced)
            _forget(sim, vmid, worker, purge=purge)

    return sim.tasks.start("qmdestroy", str(vmid), call.user, work)


def _check_destroyable(sim: Simulator, vmid: int) -> None:
    config = sim.configs.record(vmid)["config"]
    if config.get("protection") == "1":
        raise died(f"can't remove VM {vmid} - protection mode enabled")
    if sim.runtime.is_running(vmid) is not None:
        raise died(f"VM {vmid} is running - destroy failed")


def _remove(sim: Simulator, vmid: int, worker: Worker, *, unreferenced: bool) -> None:
    """The volumes the configuration names; others of the VM only when asked for."""
    volumes = list(dict.fromkeys(drives.disks(sim.configs.record(vmid)["config"]).values()))
    for volid in volumes:
        if sim.storages.clones_of(volid):
            raise died(f"base volume '{volid}' is still in use by linked cloned")  # sic
    with sim.state.changing():
        for volid in volumes:
            if (found := sim.storages.on(volid.partition(":")[0]).get(volid)) is None or found["vmid"] == vmid:
                sim.storages.remove(volid, worker.log)
        for volid in sim.storages.volumes_of(vmid) if unreferenced else ():
            sim.storages.remove(volid, worker.log)
    sim.runtime.destroy_disk(vmid)


def _forget(sim: Simulator, vmid: int, worker: Worker, *, purge: bool) -> None:
    """ACL, pool membership and firewall go always, backup jobs only with `purge`."""
    with sim.state.changing() as data:
        if purge:
            worker.log(f"purging VM {vmid} from related configurations..")
            _leave_jobs(data["jobs"], vmid)
        forget_vm(sim.state, vmid)
        data["acl"].pop(f"/vms/{vmid}", None)
        data["firewall"].pop(f"qemu/{vmid}", None)
        sim.configs.remove(vmid)
    sim.paused.discard(vmid)


def _leave_jobs(jobs: dict[str, dict[str, Any]], vmid: int) -> None:
    """A job that would be left without any VM goes with its last one."""
    for job_id in [job_id for job_id, job in jobs.items() if str(vmid) in split_list(str(job.get("vmid", "")))]:
        left = [number for number in split_list(jobs[job_id]["vmid"]) if number != str(vmid)]
        jobs[job_id]["vmid"] = ",".join(left)
        if not left:
            del jobs[job_id]


def _resize(call: Call) -> object:
    sim, vmid = call.sim, call.vmid
    slot, wanted, stated = call.params["disk"], call.params["size"], call.params.get("digest")

    def work(worker: Worker) -> None:
        with sim.locks.exclusive(vmid, worker.log), worker.taking_its_time(), sim.state.changing():
            record = sim.configs.record(vmid)
            if stated and stated != digest(record):
                raise died("checksum mismatch (file change by other user?)")
            check_lock(record)
            _grow(sim, record["config"], slot, wanted, worker)

    return sim.tasks.start("resize", str(vmid), call.user, work)


def _grow(sim: Simulator, config: dict[str, str], slot: str, wanted: str, worker: Worker) -> None:
    volid = drives.volume_of(slot, config[slot]) if slot in config else None
    if volid is None:
        raise died(f"disk '{slot}' does not exist")
    volume = sim.storages.volume(volid)
    size = drives.wanted_size(wanted, volume["size"])
    if size < volume["size"]:
        raise died("shrinking disks is not supported")
    if size == volume["size"]:
        return
    if sim.storages.is_file_based(volume["storage"]):
        if "/base-" in volid.partition(":")[2].rpartition("/")[0] + "/" + volid.rpartition("/")[2]:
            _refuse_base(sim, volid, volume["format"], size, worker)
        worker.log("Image resized.")
    else:
        worker.log(f"  Logical volume pve/{volid.partition(':')[2]} successfully resized.")
    volume["size"] = size
    config[slot] = drives.resized(drives.parse(slot, config[slot]), size)


def _refuse_base(sim: Simulator, volid: str, form: str, size: int, worker: Worker) -> None:
    """The image of a template is immutable on disk."""
    path = sim.storages.path(volid)
    worker.log(f"qemu-img: Could not open '{path}': Could not open '{path}': Operation not permitted")
    raise died(f"command '/usr/bin/qemu-img resize -f {form} {path} {size}' failed: exit code 1")


def _template(call: Call) -> object:
    sim, vmid = call.sim, call.vmid
    record = sim.configs.record(vmid)
    check_lock(record)
    if record["config"].get("template") == "1":
        raise died("you can't convert a template to a template")
    if sim.runtime.is_running(vmid) is not None:
        raise died("you can't convert a VM to template if VM is running")

    def work(worker: Worker) -> None:
        with sim.locks.exclusive(vmid, worker.log), worker.taking_its_time(), sim.state.changing():
            config = sim.configs.record(vmid)["config"]
            for slot, volid in drives.disks(config).items():
                if not drives.is_cdrom(config[slot]) and re.search(r"(^|[/:])vm-", volid):
                    config[slot] = config[slot].replace(volid, sim.storages.to_base(volid), 1)
            config["template"] = "1"

    return sim.tasks.start("qmtemplate", str(vmid), call.user, work)


_RESIZE = {
    "disk": needed(one_of(*vm_options.DISK_SLOTS)),
    "size": needed(text(pattern=r"\+?\d+(\.\d+)?[KMGT]?")),
    "digest": text(longest=40),
    "skiplock": boolean(),
}
_DESTROY = {"destroy-unreferenced-disks": boolean(), "purge": boolean(), "skiplock": boolean()}
_ROOT = ("skiplock",)
_ALLOCATE = perm("/vms/{vmid}", "VM.Allocate")
_VM = "/nodes/{node}/qemu/{vmid}"
ROUTES = (
    Route("DELETE", _VM, _destroy, VM | _DESTROY, _ALLOCATE, root_only_params=_ROOT),
    Route("PUT", f"{_VM}/resize", _resize, VM | _RESIZE, perm("/vms/{vmid}", "VM.Config.Disk"), root_only_params=_ROOT),
    Route("POST", f"{_VM}/template", _template, VM | {"disk": one_of(*vm_options.DISK_SLOTS)}, _ALLOCATE),
)
