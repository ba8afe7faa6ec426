"""Take a change of a VM's configuration: what it asks for, who may, and the form PVE keeps it in."""

from __future__ import annotations

import hashlib
import re
import secrets
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import drives, vm_options
from .call import Call, Route
from .failures import ApiError, bad_parameters, died
from .formats import config_id
from .path_params import VM
from .rights import perm
from .schema import Param, boolean, integer, list_of, needed, split_list, text
from .storage import unheard
from .tasks import Worker
from .vm_config import check_lock, digest, stored_description
from .vm_pending import apply_pending, hotplug, is_net
from .vm_rights import CONFIG_PRIVILEGES, check_bridges, check_keys

if TYPE_CHECKING:
    from .simulator import Simulator
    from .storage import Log

_CONTROL = ("delete", "revert", "digest", "skiplock", "force", "background_delay", "node", "vmid")
_KEY_LIKE = re.compile(r"(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/=]{16,}( .*)?")


@dataclass(frozen=True)
class Change:
    """What one write asks for."""

    values: Mapping[str, str]
    delete: tuple[str, ...]
    revert: tuple[str, ...]
    digest: str | None
    skip_lock: bool
    force: bool


def read_change(call: Call) -> Change:
    """The request as a change; refuses what contradicts itself."""
    values = {key: _as_text(key, value) for key, value in call.sent.items() if key not in _CONTROL}
    delete = tuple(split_list(str(call.params.get("delete", ""))))
    revert = tuple(split_list(str(call.params.get("revert", ""))))
    if not values and not delete and not revert:
        raise died("no options specified")
    for key in (*delete, *revert):
        if key in values and key in delete:
            raise bad_parameters({"delete": f"you can't use '-{key}' and -delete {key}' at the same time"})
        if not vm_options.exists(key):
            raise bad_parameters({"delete" if key in delete else "revert": f"unknown option '{key}'"})
    skip, force = bool(call.params.get("skiplock")), bool(call.params.get("force"))
    return Change(values, delete, revert, call.params.get("digest"), skip, force)


def _as_text(key: str, value: Any) -> str:
    if value is None:
        raise died(f"unable to parse value of '{key}' - got undefined value")
    return ";".join(map(str, value)) if isinstance(value, list) else str(value)


def _checked(call: Call) -> Change:
    """Everything PVE refuses before it takes the lock."""
    change = read_change(call)
    check_hookscript(call.sim, change.values)
    check_keys(call, change.values, change.delete)
    config = call.sim.configs.record(call.vmid)["config"]
    drives.check_access(call, change.values, config)
    check_bridges(call, [value for key, value in change.values.items() if is_net(key)])
    if "sshkeys" in change.values:
        keys = urllib.parse.unquote(change.values["sshkeys"]).strip().splitlines()
        if not all(_KEY_LIKE.fullmatch(key.strip()) for key in keys if key.strip()):
            raise died("SSH public key validation error")
    return change


def check_hookscript(sim: Simulator, values: Mapping[str, str]) -> None:
    script = values.get("hookscript")
    if script is not None and not sim.storages.has(script):
        raise bad_parameters({"hookscript": f"script '{script}' does not exist\n"})


def _put(call: Call) -> None:
    change = _checked(call)
    with call.sim.locks.exclusive(call.vmid):
        _check_current(call.sim, call.vmid, change)
        apply_change(call.sim, call.vmid, change, unheard)


def _post(call: Call) -> object:
    change = _checked(call)
    sim, vmid = call.sim, call.vmid
    words = " ".join(f"-{key} {value}" for key, value in sorted(change.values.items()))
    if change.delete:
        words += f" -delete {','.join(change.delete)}"
    with sim.locks.exclusive(vmid):
        _check_current(sim, vmid, change)

    def work(worker: Worker) -> None:
        worker.log(f"update VM {vmid}: {words.strip()}")
        with sim.locks.exclusive(vmid, worker.log):
            apply_change(sim, vmid, change, worker.log)

    upid = sim.tasks.start("qmconfig", str(vmid), call.user, work)
    delay = call.params.get("background_delay")
    if delay is None or not sim.tasks.wait(upid, delay * sim.pace):
        return upid
    status = sim.tasks.find(upid)["status"]
    if status != "OK" and not status.startswith("WARNINGS"):
        raise died(f"failed to update VM {vmid}: {status}")
    return None


def _check_current(sim: Simulator, vmid: int, change: Change) -> None:
    record = sim.configs.record(vmid)
    if change.digest and change.digest != digest(record):
        raise died("checksum mismatch (file change by other user?)")
    if not change.skip_lock:
        check_lock(record)


def apply_change(sim: Simulator, vmid: int, change: Change, log: Log) -> None:
    """Write the change; hotplug refusals are raised after everything else is stored, as PVE does."""
    running = sim.runtime.is_running(vmid) is not None
    late: ApiError | None = None
    with sim.state.changing():
        record = sim.configs.record(vmid)
        for key in change.revert:
            record["pending"].pop(key, None)
            record["delete"].pop(key, None)
        if record["config"].get("protection") == "1":
            for key in change.delete:
                if drives.is_drive(key):
                    raise died(f"can't remove drive '{key}' - protection mode enabled")
        for key in change.delete:
            record["pending"].pop(key, None)
            if key in record["config"]:
                record["delete"][key] = change.force
        for key, value in change.values.items():
            stored = _stored(sim, vmid, key, value, config=record["config"], log=log)
            record["delete"].pop(key, None)
            record["pending"][key] = stored
            late = _missing_snippet(sim, key, value, change.values) or late
    if running:
        hotplug(sim, vmid, log)
    else:
        apply_pending(sim, vmid, log)
    if late is not None:
        raise late


def _missing_snippet(sim: Simulator, key: str, value: str, values: Mapping[str, str]) -> ApiError | None:
    """A new cloud-init drive is filled at once, so a missing snippet shows - after the change is stored."""
    if not value.endswith(":cloudinit") or not drives.is_drive(key):
        return None
    for part in values.get("cicustom", "").split(","):
        volid = part.partition("=")[2]
        if volid and not sim.storages.has(volid):
            return died(f"volume '{volid}' does not exist")
    return None


def _stored(sim: Simulator, vmid: int, key: str, value: str, *, config: Mapping[str, str], log: Log) -> str:
    """The value in the form PVE keeps it."""
    if drives.is_drive(key):
        made = drives.materialise(sim.storages, vmid, key, value, current=config.get(key), log=log)
        return _as_base(sim, key, made) if config.get("template") == "1" else made
    if is_net(key):
        return stored_net(sim, key, value)
    if key == "tags":
        return ";".join(sorted({tag.lower() for tag in split_list(value)})) or " "
    if key == "boot":
        check_boot_order(value, config)
    rewrite = _REWRITTEN.get(key)
    return value if rewrite is None else rewrite(value)


def _as_base(sim: Simulator, slot: str, drive: str) -> str:
    """A template's new disk becomes a base image at once."""
    volid = drives.volume_of(slot, drive)
    if volid is None or drives.is_cdrom(drive) or "base-" in volid.rpartition("/")[2]:
        return drive
    return drive.replace(volid, sim.storages.to_base(volid), 1)


def _hashed(password: str) -> str:
    salt = secrets.token_hex(4)
    return f"$5${salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"


_REWRITTEN: Mapping[str, Callable[[str], str]] = {
    "cipassword": _hashed,
    "description": stored_description,
    "vmgenid": lambda value: str(uuid.uuid4()) if value == "1" else value,
}


def stored_net(sim: Simulator, key: str, value: str) -> str:
    """A NIC without a MAC draws a new one every time it is written."""
    values = vm_options.NET.parse(value, key)
    model = values.pop("model")
    mac = values.pop("macaddr", None) or sim.random_mac()
    rest = [f"{name}={values[name]}" for name in sorted(values)]
    return ",".join([f"{model}={mac}", *rest])


def check_boot_order(value: str, config: Mapping[str, str]) -> None:
    for device in value.removeprefix("order=").split(";") if value.startswith("order=") else ():
        if device and device not in config:
            raise died(f"invalid bootorder: device '{device}' does not exist'")


def _config_params() -> dict[str, Param]:
    extra = {
        "delete": list_of(config_id),
        "revert": list_of(config_id),
        "digest": text(longest=40),
        "force": boolean(requires="delete"),
        "skiplock": boolean(),
    }
    return VM | dict(vm_options.options()) | extra


def _unlink(call: Call) -> None:
    slots = tuple(split_list(call.params["idlist"]))
    change = Change({}, slots, (), None, False, bool(call.params.get("force")))
    check_keys(call, {}, slots)
    call.sim.configs.record(call.vmid)
    with call.sim.locks.exclusive(call.vmid):
        _check_current(call.sim, call.vmid, change)
        apply_change(call.sim, call.vmid, change, unheard)


_CONFIG = "/nodes/{node}/qemu/{vmid}/config"
_MAY_CHANGE = perm("/vms/{vmid}", *CONFIG_PRIVILEGES, any_of_them=True)
_DELAY = {"background_delay": integer(1, 30), "import-working-storage": text()}
ROUTES = (
    Route("PUT", _CONFIG, _put, _config_params(), _MAY_CHANGE, locked=False, root_only_params=("skiplock",)),
    Route("POST", _CONFIG, _post, _config_params() | _DELAY, _MAY_CHANGE, locked=False, root_only_params=("skiplock",)),
    Route(
        "PUT",
        "/nodes/{node}/qemu/{vmid}/unlink",
        _unlink,
        VM | {"idlist": needed(list_of(config_id)), "force": boolean()},
        perm("/vms/{vmid}", "VM.Config.Disk"),
        locked=False,
    ),
)
