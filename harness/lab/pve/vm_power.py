"""Start, stop, shut down, reboot, reset, suspend: what the runtime does, in PVE's tasks and words."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from . import drives, vm_options
from .call import Call, Route
from .failures import died
from .path_params import VM
from .rights import perm
from .runtime import AgentNotRunning, GuestNic, RuntimeFailed
from .schema import Param, boolean, integer, one_of, text
from .tasks import Interrupted, Worker
from .vm_config import check_lock
from .vm_pending import apply_pending
from .vm_status import MACHINE, QEMU_VERSION, agent_enabled, memory_bytes

if TYPE_CHECKING:
    from .simulator import Simulator

DEFAULT_SHUTDOWN_S = 60
_PING_S = 3.0
_QEMU_ARGUMENTS = frozenset(
    ("-append", "-bios", "-cdrom", "-chardev", "-cpu", "-d", "-device", "-drive", "-fw_cfg", "-global", "-initrd",
     "-kernel", "-machine", "-mon", "-netdev", "-object", "-rtc", "-serial", "-set", "-smbios", "-trace", "-usb",
     "-vga", "-vnc")
)  # fmt: skip
Work = Callable[["Simulator", int, Worker, Mapping[str, Any]], None]


def start_vm(sim: Simulator, vmid: int, worker: Worker, params: Mapping[str, Any]) -> None:
    """The whole qmstart task."""
    with sim.locks.exclusive(vmid, worker.log), worker.taking_its_time():
        record = sim.configs.record(vmid)
        if record["config"].get("template") == "1":
            raise died("you can't start a vm if it's a template")
        if not params.get("skiplock"):
            check_lock(record)
        if sim.runtime.is_running(vmid) is not None:
            raise died(f"VM {vmid} already running")
        worker.spend(worker.record.pop("stall_s", 0.0))
        apply_pending(sim, vmid, worker.log)
        boot(sim, vmid, record["config"], worker)


def boot(sim: Simulator, vmid: int, config: Mapping[str, str], worker: Worker) -> None:
    _check_bootable(sim, config, worker)
    try:
        pid = sim.runtime.start(vmid, nics(config))
    except RuntimeFailed as error:
        worker.log(str(error))
        if (bridge := re.fullmatch(r"bridge '(.*)' does not exist", str(error))) is not None:
            worker.log(_netdev_failure(vmid, config, bridge[1]))
        raise died("start failed: QEMU exited with code 1") from error
    with sim.state.changing() as data:
        data["started"][str(vmid)] = [pid, time.time()]


def _check_bootable(sim: Simulator, config: Mapping[str, str], worker: Worker) -> None:
    """What a real node finds out before or while QEMU starts."""
    for part in config.get("cicustom", "").split(","):
        if volid := part.partition("=")[2]:
            sim.storages.volume(volid)
    for slot, volid in drives.disks(config).items():
        if drives.is_drive(slot):
            sim.storages.volume(volid)
    if any(value.split(",")[0].partition(".")[0].endswith("-cloudinit") for value in config.values()):
        worker.log("generating cloud-init ISO")
    _check_machine(sim, config.get("machine", MACHINE).split(",")[0])
    if config.get("bios") == "ovmf" and "efidisk0" not in config:
        worker.warn("no efidisk configured! Using temporary efivars disk.")
    cpus, cores = os.cpu_count() or 1, int(config.get("cores", "1")) * int(config.get("sockets", "1"))
    if cores > cpus:
        raise died(f"MAX {cpus} vcpus allowed per VM on this node")
    total = sim.host.memory()
    if memory_bytes(config) > total["memory"]["total"] + total["swap"]["total"]:
        _qemu_dies(worker, "cannot set up guest memory 'pc.ram': Cannot allocate memory")
    for argument in config.get("args", "").split()[:1]:
        if argument not in _QEMU_ARGUMENTS:
            _qemu_dies(worker, f"{argument}: invalid option")


def _qemu_dies(worker: Worker, why: str) -> None:
    worker.log(f"qemu-system-x86_64: {why}")
    raise died("start failed: QEMU exited with code 1")


def _check_machine(sim: Simulator, machine: str) -> None:
    version = re.fullmatch(r"(pc-(?:i440fx|q35)-(\d+)\.(\d+))(\+pve\d+)?", machine)
    known = tuple(int(part) for part in QEMU_VERSION.split(".")[:2])
    if version is not None and (int(version[2]), int(version[3])) > known:
        wanted = f"{version[1]}{version[4] or '+pve0'}"
        raise died(
            f"Installed QEMU version '{QEMU_VERSION}' is too old to run machine type '{wanted}', "
            f"please upgrade node '{sim.node}'"
        )


def nics(config: Mapping[str, str]) -> list[GuestNic]:
    """The NICs that are plugged into a bridge."""
    found = []
    for key in sorted(key for key in config if key.startswith("net") and key[3:].isdigit()):
        values = vm_options.NET.parse(config[key], key)
        if "bridge" in values:
            is_up = values.get("link_down", "0") != "1"
            found.append(GuestNic(int(key[3:]), values["macaddr"], values["bridge"], is_up))
    return found


def _netdev_failure(vmid: int, config: Mapping[str, str], bridge: str) -> str:
    key = next((key for key, value in sorted(config.items()) if f"bridge={bridge}" in value), "net0")
    script = "/usr/libexec/qemu-server/pve-bridge"
    return (
        f"qemu-system-x86_64: -netdev type=tap,id={key},ifname=tap{vmid}i{key[3:]},script={script},"
        f"downscript={script}down: network script {script} failed with status 512"
    )


def _stop(sim: Simulator, vmid: int, worker: Worker, params: Mapping[str, Any]) -> None:
    sim.configs.source(vmid)
    with sim.locks.exclusive(vmid, worker.log):
        record = sim.configs.record(vmid)
        if not params.get("skiplock"):
            check_lock(record)
        worker.spend(worker.record.pop("stall_s", 0.0))
        with worker.taking_its_time() if sim.runtime.is_running(vmid) is not None else nullcontext():
            sim.runtime.stop(vmid)
            powered_off(sim, vmid, worker)


def powered_off(sim: Simulator, vmid: int, worker: Worker) -> None:
    sim.paused.discard(vmid)
    with sim.state.changing() as data:
        data["started"].pop(str(vmid), None)
    apply_pending(sim, vmid, worker.log)


def shutdown_vm(sim: Simulator, vmid: int, worker: Worker, params: Mapping[str, Any]) -> None:
    sim.configs.source(vmid)
    with sim.locks.exclusive(vmid, worker.log):
        record = sim.configs.record(vmid)
        if not params.get("skiplock"):
            check_lock(record)
        if sim.runtime.is_running(vmid) is None:
            return
        worker.spend(worker.record.pop("stall_s", 0.0))
        if not _asked_to_power_off(sim, vmid, record["config"], worker, params):
            if not params.get("forceStop"):
                raise died("VM quit/powerdown failed - got timeout")
            worker.log("VM still running - terminating now with SIGTERM")
            sim.runtime.stop(vmid)
        powered_off(sim, vmid, worker)


def _asked_to_power_off(
    sim: Simulator, vmid: int, config: Mapping[str, str], worker: Worker, params: Mapping[str, Any]
) -> bool:
    """Through the agent where it answers, else by ACPI; the guest has its time."""
    if agent_enabled(config) and not agent_answers(sim, vmid, worker):
        why = f"VM {vmid} qmp command 'guest-ping' failed - got timeout"
        worker.log(f"QEMU Guest Agent is not running - {why}")
    down = re.search(r"down=(\d+)", config.get("startup", ""))
    timeout = params.get("timeout", int(down[1]) if down else DEFAULT_SHUTDOWN_S)
    return sim.runtime.shutdown(vmid, timeout * sim.pace)


def agent_answers(sim: Simulator, vmid: int, worker: Worker) -> bool:
    """Ping in short tries, so that stopping the task is noticed."""
    deadline = time.monotonic() + _PING_S * sim.pace
    while not _pinged(sim, vmid, 0.5):
        if time.monotonic() >= deadline:
            return False
        try:
            worker.spend(0.1)
        except Interrupted:
            worker.log("QEMU Guest Agent is not running - received interrupt")
            raise
    return True


def _pinged(sim: Simulator, vmid: int, timeout_s: float) -> bool:
    if vmid in sim.paused:
        return False
    try:
        sim.runtime.agent(vmid, "guest-ping", {}, timeout_s * sim.pace)
    except AgentNotRunning:
        return False
    return True


def _reboot(sim: Simulator, vmid: int, worker: Worker, params: Mapping[str, Any]) -> None:
    """Shut down and start again, which is how pending changes become real."""
    with sim.locks.exclusive(vmid, worker.log):
        record = sim.configs.record(vmid)
        check_lock(record)
        if not _asked_to_power_off(sim, vmid, record["config"], worker, params):
            raise died("VM quit/powerdown failed - got timeout")
        powered_off(sim, vmid, worker)
        boot(sim, vmid, sim.configs.record(vmid)["config"], worker)


def _reset(sim: Simulator, vmid: int, worker: Worker, params: Mapping[str, Any]) -> None:  # noqa: ARG001 - one shape
    with sim.locks.exclusive(vmid, worker.log):
        sim.runtime.reboot(vmid)


def _suspend(sim: Simulator, vmid: int, worker: Worker, params: Mapping[str, Any]) -> None:  # noqa: ARG001 - one shape
    with sim.locks.exclusive(vmid, worker.log):
        sim.paused.add(vmid)
        sim.runtime.freeze(vmid, frozen=True)


def _resume(sim: Simulator, vmid: int, worker: Worker, params: Mapping[str, Any]) -> None:  # noqa: ARG001 - one shape
    with sim.locks.exclusive(vmid, worker.log):
        sim.paused.discard(vmid)
        sim.runtime.freeze(vmid, frozen=False)


def _task(kind: str, work: Work, *, only_running: bool = False) -> Callable[[Call], object]:
    """A call that begins a task; some look for the running VM first."""

    def run(call: Call) -> object:
        sim, vmid, params = call.sim, call.vmid, call.params
        if only_running:
            sim.configs.source(vmid)
            if sim.runtime.is_running(vmid) is None:
                raise died(f"VM {vmid} not running")
        return sim.tasks.start(kind, str(vmid), call.user, lambda worker: work(sim, vmid, worker, params))

    return run


_TIMEOUT: dict[str, Param] = {"timeout": integer(0)}
_SKIP: dict[str, Param] = {"skiplock": boolean()}
_START = {
    "force-cpu": text(),
    "machine": text(),
    "migratedfrom": text(),
    "migration_network": text(),
    "migration_type": one_of("secure", "insecure"),
    "stateuri": text(longest=128),
    "targetstorage": text(),
}
_STOP = {"keepActive": boolean(), "migratedfrom": text(), "overrule-shutdown": boolean()}
_SHUTDOWN = {"forceStop": boolean(), "keepActive": boolean()}
_ROOT = ("skiplock", "keepActive", "migratedfrom", "force-cpu", "stateuri", "targetstorage")


def _route(action: str, run: Callable[[Call], object], params: Mapping[str, Param]) -> Route:
    template = f"/nodes/{{node}}/qemu/{{vmid}}/status/{action}"
    return Route("POST", template, run, VM | dict(params), perm("/vms/{vmid}", "VM.PowerMgmt"), root_only_params=_ROOT)


ROUTES = (
    _route("start", _task("qmstart", start_vm), _SKIP | _TIMEOUT | _START),
    _route("stop", _task("qmstop", _stop), _SKIP | _TIMEOUT | _STOP),
    _route("shutdown", _task("qmshutdown", shutdown_vm), _SKIP | _TIMEOUT | _SHUTDOWN),
    _route("reboot", _task("qmreboot", _reboot, only_running=True), _TIMEOUT),
    _route("reset", _task("qmreset", _reset, only_running=True), _SKIP),
    _route("suspend", _task("qmpause", _suspend, only_running=True), _SKIP | {"todisk": boolean()}),
    _route("resume", _task("qmresume", _resume, only_running=True), _SKIP | {"nocheck": boolean()}),
)
