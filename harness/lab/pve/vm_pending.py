"""Make a stored change real: at once for a stopped VM, by hotplug or at the next start for a running one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import drives, vm_options
from .failures import bad_parameters
from .runtime import RuntimeFailed
from .schema import split_list

if TYPE_CHECKING:
    from .simulator import Simulator
    from .storage import Log


def is_net(key: str) -> bool:
    return key.startswith("net") and key[3:].isdigit()


def apply_pending(sim: Simulator, vmid: int, log: Log) -> None:
    """What a stopped VM does at once and a running one when it stops."""
    with sim.state.changing():
        record = sim.configs.record(vmid)
        for key, force in list(record["delete"].items()):
            _remove_key(sim, record["config"], key, force=force, log=log)
        record["delete"].clear()
        for key, value in record["pending"].items():
            _set_key(record["config"], key, value)
        record["pending"].clear()


def _set_key(config: dict[str, str], key: str, value: str) -> None:
    """Replace a value; the volume a drive loses stays as an unused one."""
    old = drives.volume_of(key, config[key]) if key in config else None
    if key == "description" and not value:
        config.pop(key, None)
        return
    config[key] = value
    if key == "boot" and value.startswith("order="):
        config.pop("bootdisk", None)
    if old is not None and not drives.is_cdrom(config[key]) and drives.volume_of(key, value) != old:
        config[drives.free_unused_slot(config)] = old


def _remove_key(sim: Simulator, config: dict[str, str], key: str, *, force: bool, log: Log) -> None:
    value = config.pop(key, None)
    if value is None:
        return
    volid = drives.volume_of(key, value)
    if volid is None:
        return
    if key.startswith("unused") or force or volid.rpartition("/")[2].split(".")[0].endswith("-cloudinit"):
        sim.storages.remove(volid, log)
    elif not drives.is_cdrom(value):
        config[drives.free_unused_slot(config)] = volid


def hotplug(sim: Simulator, vmid: int, log: Log) -> None:
    """Bring what can be changed live into the running VM; the rest stays pending."""
    record = sim.configs.record(vmid)
    features = _features(record)
    errors: dict[str, str] = {}
    for key in list(record["delete"]):
        with _as_error(errors, key):
            if _unplugged(sim, vmid, key, features):
                with sim.state.changing():
                    _remove_key(sim, record["config"], key, force=record["delete"].pop(key), log=log)
    for key, value in list(record["pending"].items()):
        with _as_error(errors, key):
            if record["config"].get(key) == value or _plugged(sim, vmid, key, value, features):
                with sim.state.changing():
                    _set_key(record["config"], key, record["pending"].pop(key))
    if errors:
        raise bad_parameters(errors)


def _features(record: Mapping[str, Any]) -> set[str]:
    given = record["pending"].get("hotplug", record["config"].get("hotplug", "network,disk,usb"))
    return {"network", "disk", "usb"} if given == "1" else set(split_list(given))


class _as_error:  # noqa: N801 - reads as a statement
    """A runtime's refusal becomes the error of the option."""

    def __init__(self, errors: dict[str, str], key: str) -> None:
        self._errors, self._key = errors, key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, RuntimeFailed):
            self._errors[self._key] = f"hotplug problem - {error}\n"
            return True
        return False


def _unplugged(sim: Simulator, vmid: int, key: str, features: set[str]) -> bool:
    if key in vm_options.AT_ONCE or key.startswith(("unused", "ipconfig")):
        return True
    if is_net(key) and "network" in features:
        sim.runtime.unplug(vmid, int(key[3:]))
        return True
    return drives.is_drive(key) and "disk" in features and key.startswith(("scsi", "virtio"))


def _plugged(sim: Simulator, vmid: int, key: str, value: str, features: set[str]) -> bool:
    if key in vm_options.AT_ONCE or key.startswith(("unused", "ipconfig")):
        return True
    if is_net(key):
        return _net_plugged(sim, vmid, key, value, features)
    if drives.is_drive(key):
        return drives.is_cdrom(value) or ("disk" in features and key.startswith(("scsi", "virtio")))
    return False


def _net_plugged(sim: Simulator, vmid: int, key: str, value: str, features: set[str]) -> bool:
    """Another bridge is plugged live in any case, another MAC or model only with the hotplug feature `network`."""
    old = sim.configs.record(vmid)["config"].get(key)
    new = vm_options.NET.parse(value, key)
    before = vm_options.NET.parse(old, key) if old is not None else {}
    same_card = bool(before) and all(
        before.get(name) == new.get(name) for name in ("model", "macaddr", "queues", "mtu")
    )
    if not same_card and "network" not in features:
        return False
    slot, was_down = int(key[3:]), before.get("link_down", "0") == "1"
    if not same_card or before.get("bridge") != new.get("bridge"):
        sim.runtime.replug(vmid, slot, new["macaddr"], new.get("bridge", ""))
        was_down = False
    if (is_down := new.get("link_down", "0") == "1") != was_down:
        sim.runtime.set_link(vmid, slot, up=not is_down)
    return True
