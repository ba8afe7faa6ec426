"""Which privilege each key of a configuration needs, beside the one for the call itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import vm_options
from .call import Call
from .drives import is_cdrom, is_drive
from .failures import died

CONFIG_PRIVILEGES = tuple(
    f"VM.Config.{name}" for name in ("Disk", "CDROM", "CPU", "Memory", "Network", "HWType", "Options", "Cloudinit")
)


def check_keys(call: Call, changes: Mapping[str, str], deleted: Iterable[str], *, creating: bool = False) -> None:
    """The caller may write these keys; root@pam (not its tokens) may write all."""
    if call.is_root:
        return
    for key in [*changes, *deleted]:
        _check_key(call, key, changes.get(key, ""), creating=creating)


def _check_key(call: Call, key: str, value: str, *, creating: bool) -> None:
    vm = f"/vms/{call.vmid}"
    stem = key.rstrip("0123456789")
    if creating and (is_drive(key) or key in vm_options.PRIVILEGE) and key != "startup":
        return  # VM.Allocate covers it
    if is_drive(key) or stem == "unused":
        call.check(vm, "VM.Config.CDROM" if is_cdrom(value) else "VM.Config.Disk")
    elif key in vm_options.PRIVILEGE:
        call.check(vm, vm_options.PRIVILEGE[key])
        if key == "startup":
            call.check("/", "Sys.Modify")
    elif key in vm_options.CLOUD_INIT or stem == "ipconfig":
        call.sim.rights.check_any(call.user, vm, "VM.Config.Cloudinit", "VM.Config.Network")
    elif stem == "net":
        if not creating:
            call.check(vm, "VM.Config.Network")
    elif stem == "serial":
        if value != "socket":
            raise died(f"only root can modify '{key}' config for real devices")
        call.check(vm, "VM.Config.HWType")
    elif stem == "hostpci":
        raise died(f"only root can set '{key}' config for non-mapped devices")
    elif stem in {"usb", "virtiofs"}:
        call.check(vm, "VM.Config.HWType")
    elif key != "vmgenid" or value not in {"", "0", "1"}:
        raise died(f"only root can set '{key}' config")


def check_bridges(call: Call, nets: Iterable[str]) -> None:
    """SDN.Use on the bridge of each NIC, on its VLAN where it has a tag."""
    if call.is_root:
        return
    for net in nets:
        values = vm_options.NET.parse(net, "net")
        if "bridge" in values:
            path = f"/sdn/zones/localnetwork/{values['bridge']}"
            call.check(f"{path}/{values['tag']}" if "tag" in values else path, "SDN.Use")
