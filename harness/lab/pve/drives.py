"""Turn the drive strings of a request (`local-lvm:32,ssd=1`) into volumes and the strings that are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import vm_options
from .failures import bad_parameters, died
from .storage import GIB, format_size, parse_size

if TYPE_CHECKING:
    from .call import Call
    from .storage import Log, Storages

_NEW = re.compile(r"(?:([A-Za-z][A-Za-z0-9\-_.]*[A-Za-z0-9]):)?(\d+(?:\.\d+)?)")


def is_drive(slot: str) -> bool:
    return slot in vm_options.DISK_SLOTS


def parse(slot: str, value: str) -> dict[str, str]:
    return vm_options.DRIVE.parse(value, slot)


def render(values: Mapping[str, str]) -> str:
    return vm_options.DRIVE.render(values)


def volume_of(slot: str, value: str) -> str | None:
    """The volume ID of a drive, None for an empty CD drive or a device path."""
    file = value.split(",", 1)[0].removeprefix("file=").removeprefix("volume=")
    return file if ":" in file and not file.startswith("/") and (is_drive(slot) or slot.startswith("unused")) else None


def is_cdrom(value: str) -> bool:
    return ",media=cdrom" in f",{value}"


def disks(config: Mapping[str, str]) -> dict[str, str]:
    """slot -> volume ID of every drive, CD drives and the unused ones included."""
    found = {slot: volume_of(slot, value) for slot, value in config.items() if is_drive(slot) or slot[:6] == "unused"}
    return {slot: volid for slot, volid in found.items() if volid is not None}


def root_disk(config: Mapping[str, str]) -> str | None:
    """The slot the VM boots from: the first real disk of the boot order."""
    order = [part for part in config.get("boot", "").removeprefix("order=").split(";") if part]
    if "bootdisk" in config:
        order.append(config["bootdisk"])
    for slot in order + sorted(disks(config)):
        if is_drive(slot) and slot in config and not is_cdrom(config[slot]) and volume_of(slot, config[slot]):
            return slot
    return None


def check_access(call: Call, changes: Mapping[str, str], config: Mapping[str, str]) -> None:
    """Privileges and existence of every storage and volume that the drives of a write name."""
    storages = call.sim.storages
    for slot, value in changes.items():
        if not is_drive(slot) or value == config.get(slot):
            continue
        values = parse(slot, value)
        file = values["file"]
        new = _NEW.fullmatch(file)
        name = new[1] if new else file.partition(":")[0]
        if file in {"none", "cdrom"}:
            continue
        if "import-from" in values:
            _check_import(call, slot, values["import-from"], is_special=new is not None and float(new[2]) == 0)
        if file.startswith("/"):
            raise died("Only root can pass arbitrary filesystem paths.")
        if name is None:
            raise died(f"no storage ID specified (and no default storage) for '{slot}'")
        storages.config(name)
        if new or file.endswith(":cloudinit"):
            call.check(f"/storage/{name}", "Datastore.AllocateSpace")
            storages.check_images(name)
        else:
            storages.parse(file)
            check_volume_access(call, file, int(call.params["vmid"]))
            storages.volume(file)


def _check_import(call: Call, slot: str, source: str, *, is_special: bool) -> None:
    if not is_special:
        syntax = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"
        raise bad_parameters({slot: syntax})
    if source.startswith("/"):
        if not call.is_root:
            raise died("Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 569.")
    elif call.sim.storages.has(source):
        check_volume_access(call, source, None)


def check_volume_access(call: Call, volid: str, vmid: int | None) -> None:
    """Whether the caller may see or use a volume that exists; the owner VM always may."""
    name = volid.partition(":")[0]
    owner, content = nature(call.sim.storages, volid)
    if call.may(f"/storage/{name}", "Datastore.Allocate"):
        return
    if content in {"iso", "vztmpl", "import"}:
        call.sim.rights.check_any(call.user, f"/storage/{name}", "Datastore.AllocateSpace", "Datastore.Audit")
    elif owner is None:
        call.check(f"/storage/{name}", "Datastore.Allocate")
    elif owner == vmid:
        return
    elif content == "backup":
        call.check(f"/storage/{name}", "Datastore.AllocateSpace")
        call.check(f"/vms/{owner}", "VM.Backup")
    else:
        call.check(f"/storage/{name}", "Datastore.Audit")
        call.check(f"/vms/{owner}", "VM.Config.Disk")


def nature(storages: Storages, volid: str) -> tuple[int | None, str]:
    """(owner, content) of a volume; an archive's name tells, also when it is gone."""
    name, _, volume = volid.partition(":")
    if (named := re.fullmatch(r"backup/vzdump-qemu-(\d+)-.*", volume)) is not None:
        return int(named[1]), "backup"
    record = storages.on(name).get(volid, {})
    return record.get("vmid"), record.get("content", "images")


def materialise(storages: Storages, vmid: int, slot: str, value: str, *, current: str | None, log: Log) -> str:
    """Allocate what the drive string asks for and return the string that goes into the configuration."""
    values = parse(slot, value)
    form = values.pop("format", None)
    file, source = values["file"], values.pop("import-from", None)
    new = _NEW.fullmatch(file)
    if new is not None and source is not None:
        volid, _ = storages.full_copy(_import_source(storages, source), vmid, new[1], form or "qcow2", log)
        values |= {"file": volid, "size": format_size(storages.volume(volid)["size"])}
    elif new is not None:
        volid = storages.allocate(new[1], vmid, int(float(new[2]) * GIB), form, log)
        values |= {"file": volid, "size": format_size(storages.volume(volid)["size"])}
        log(f"{slot}: successfully created disk '{render(values)}'")
    elif file.endswith(":cloudinit"):
        values |= {"file": storages.cloud_init(file.partition(":")[0], vmid, form, log), "media": "cdrom"}
    elif ":" in file and (current is None or volume_of(slot, current) != file):
        values["size"] = format_size(storages.volume(file)["size"])
    return render(values)


def _import_source(storages: Storages, source: str) -> str:
    if not storages.has(source):
        name, _, volume = source.partition(":")
        raise died(f"failed to stat '{storages.config(name).get('path', '')}/{volume}'")
    return source


def resized(values: Mapping[str, str], size: int) -> str:
    return render({**values, "size": format_size(size)})


def wanted_size(text: str, current: int) -> int:
    """The size in bytes that `+1G` or `2G` asks for."""
    return current + parse_size(text[1:]) if text.startswith("+") else parse_size(text)


def free_unused_slot(config: Mapping[str, str]) -> str:
    return next(f"unused{n}" for n in range(256) if f"unused{n}" not in config)
