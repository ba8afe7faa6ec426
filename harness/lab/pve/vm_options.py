"""Every key a VM's configuration may have: its form, and the privilege that may change it."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from . import formats
from .property_strings import PropertyFormat
from .schema import Param, boolean, integer, list_of, needed, one_of, text

NET_MODELS = (
    "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er", "ne2k_isa",
    "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
)  # fmt: skip

NET = PropertyFormat(
    {
        "model": one_of(*NET_MODELS, optional=False),
        "macaddr": text(formats.mac_address),
        "bridge": text(formats.bridge),
        "firewall": boolean(),
        "link_down": boolean(),
        "mtu": integer(1, 65520),
        "queues": integer(0, 64),
        "rate": Param("number", minimum=0),
        "tag": integer(1, 4094),
        "trunks": text(pattern=r"\d+(-\d+)?(;\d+(-\d+)?)*"),
    },
    default_key="model",
    aliases=dict.fromkeys(NET_MODELS, ("macaddr", "model")),
)

_RATES = ("mbps", "mbps_max", "mbps_rd", "mbps_rd_max", "mbps_wr", "mbps_wr_max")
_LIMITS = tuple(
    f"{unit}{way}{tail}"
    for unit in ("bps", "iops")
    for way in ("", "_rd", "_wr")
    for tail in ("", "_max", "_max_length")
)
DRIVE = PropertyFormat(
    {
        "file": text(optional=False),
        "aio": one_of("native", "threads", "io_uring"),
        "backup": boolean(),
        "cache": one_of("none", "writethrough", "writeback", "unsafe", "directsync"),
        "detect_zeroes": boolean(),
        "discard": one_of("ignore", "on"),
        "format": one_of("raw", "qcow", "qed", "qcow2", "vmdk", "cloop"),
        "import-from": text(),
        "iothread": boolean(),
        "media": one_of("cdrom", "disk"),
        "model": text(formats.url_encoded, longest=120),
        "queues": integer(2),
        "replicate": boolean(),
        "rerror": one_of("ignore", "report", "stop"),
        "ro": boolean(),
        "scsiblock": boolean(),
        "serial": text(formats.url_encoded, longest=60),
        "shared": boolean(),
        "size": text(formats.disk_size),
        "snapshot": boolean(),
        "ssd": boolean(),
        "werror": one_of("enospc", "ignore", "report", "stop"),
        "wwn": text(pattern=r"0x[0-9a-fA-F]{16}"),
        "efitype": one_of("2m", "4m"),
        "pre-enrolled-keys": boolean(),
        "version": one_of("v1.2", "v2.0"),
    }
    | {key: Param("number") for key in _RATES}
    | {key: integer() for key in _LIMITS},
    default_key="file",
    aliases={"volume": ("file", None)},
)
AGENT = PropertyFormat(
    {
        "enabled": boolean(optional=False),
        "freeze-fs-on-backup": boolean(),
        "fstrim_cloned_disks": boolean(),
        "type": one_of("virtio", "isa"),
    },
    default_key="enabled",
)
_IPCONFIG = PropertyFormat(
    {
        "ip": text(formats.ipv4_config),
        "gw": text(formats.address, requires="ip"),
        "ip6": text(formats.ipv6_config),
        "gw6": text(formats.address, requires="ip6"),
    }
)
_MEMORY = PropertyFormat({"current": integer(16, optional=False)}, default_key="current")
_MACHINE = PropertyFormat(
    {
        "type": text(pattern=r"(pc|q35|virt|(pc-(i440fx|q35)|virt)-\d+\.\d+(\.\d+)?(\+pve\d+)?(\.pxe)?)"),
        "enable-s3": boolean(),
        "enable-s4": boolean(),
        "viommu": one_of("intel", "virtio"),
    },
    default_key="type",
)
_SMBIOS = PropertyFormat(
    {"uuid": text(pattern=formats.smbios_uuid), "base64": boolean()}
    | {key: text() for key in ("family", "manufacturer", "product", "serial", "sku", "version")}
)
_VGA = PropertyFormat(
    {
        "type": one_of(
            "cirrus", "none", "qxl", "qxl2", "qxl3", "qxl4", "serial0", "serial1", "serial2", "serial3", "std",
            "virtio", "virtio-gl", "vmware",
        ),
        "memory": integer(4, 512),
        "clipboard": one_of("vnc"),
    },
    default_key="type",
)  # fmt: skip

DRIVE_SLOTS = tuple(
    f"{bus}{number}"
    for bus, count in (("ide", 4), ("scsi", 31), ("virtio", 16), ("sata", 6))
    for number in range(count)
)
DISK_SLOTS = (*DRIVE_SLOTS, "efidisk0", "tpmstate0")
_OSTYPES = ("other", "wxp", "w2k", "w2k3", "w2k8", "wvista", "win7", "win8", "win10", "win11", "l24", "l26", "solaris")
_LOCKS = ("backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspending", "suspended")
_SCSI_CONTROLLERS = ("lsi", "lsi53c810", "virtio-scsi-pci", "virtio-scsi-single", "megasas", "pvscsi")
_KEYBOARDS = (
    "de", "de-ch", "da", "en-gb", "en-us", "es", "fi", "fr", "fr-be", "fr-ca", "fr-ch", "hu", "is", "it", "ja", "lt",
    "mk", "nl", "no", "pl", "pt", "pt-br", "sv", "sl", "tr",
)  # fmt: skip


def _formatted(form: PropertyFormat, name: str) -> Param:
    return text(form.check(name))


def _boot(value: str) -> None:
    if value.startswith("order=") or not value.strip("acdn") or value.startswith("legacy="):
        return
    raise formats.FormatError("format error\nboot: invalid boot order")


def _plain() -> dict[str, Param]:
    """The keys without a number, by the privilege groups below."""
    options = {name: text() for name in ("args", "ciuser", "cipassword", "searchdomain", "cicustom", "hookscript")}
    options |= {name: boolean() for name in BOOLEANS}
    options |= {
        "affinity": text(),
        "agent": _formatted(AGENT, "agent"),
        "amd-sev": text(),
        "arch": one_of("x86_64", "aarch64"),
        "audio0": text(),
        "balloon": integer(0),
        "bios": one_of("seabios", "ovmf"),
        "boot": text(_boot),
        "bootdisk": text(pattern=r"(ide|sata|scsi|virtio)\d+"),
        "cdrom": text(),
        "citype": one_of("configdrive2", "nocloud", "opennebula"),
        "cores": integer(1),
        "cpu": text(formats.cpu),
        "cpulimit": Param("number", minimum=0, maximum=128),
        "cpuunits": integer(1, 262144),
        "description": text(longest=8192),
        "efidisk0": _formatted(DRIVE, "efidisk0"),
        "hotplug": text(formats.hotplug_features),
        "hugepages": one_of("any", "2", "1024"),
        "ivshmem": text(),
        "keyboard": one_of(*_KEYBOARDS),
        "lock": one_of(*_LOCKS),
        "machine": _formatted(_MACHINE, "machine"),
        "memory": _formatted(_MEMORY, "memory"),
        "migrate_downtime": Param("number", minimum=0),
        "migrate_speed": integer(0),
        "name": text(formats.dns_name),
        "nameserver": list_of(formats.address),
        "ostype": one_of(*_OSTYPES),
        "rng0": text(),
        "scsihw": one_of(*_SCSI_CONTROLLERS),
        "shares": integer(0, 50000),
        "smbios1": text(_SMBIOS.check("smbios1"), longest=512),
        "smp": integer(1),
        "sockets": integer(1),
        "spice_enhancements": text(),
        "sshkeys": text(formats.url_encoded),
        "startdate": text(),
        "startup": text(formats.startup_order),
        "tags": list_of(formats.tag),
        "tpmstate0": _formatted(DRIVE, "tpmstate0"),
        "vcpus": integer(1),
        "vga": _formatted(_VGA, "vga"),
        "vmgenid": text(pattern=formats.smbios_uuid + r"|[01]"),
        "vmstatestorage": text(formats.storage_id),
        "watchdog": text(),
    }
    return options


BOOLEANS = (
    "acpi", "autostart", "ciupgrade", "freeze", "keephugepages", "kvm", "localtime", "numa", "onboot", "protection",
    "reboot", "tablet", "tdf", "template",
)  # fmt: skip
# Keys that are in the file but no parameter of a write.
INTERNAL = ("meta", "parent", "snaptime", "vmstate", "runningmachine", "runningcpu")


@functools.cache
def options() -> Mapping[str, Param]:
    """All keys a write may name."""
    table = _plain()
    table |= {slot: _formatted(DRIVE, slot) for slot in DRIVE_SLOTS}
    table |= {f"net{n}": _formatted(NET, f"net{n}") for n in range(32)}
    table |= {f"ipconfig{n}": _formatted(_IPCONFIG, f"ipconfig{n}") for n in range(32)}
    table |= {f"serial{n}": text(pattern=r"(/dev/.+|socket)") for n in range(4)}
    table |= {f"parallel{n}": text(pattern=r"/dev/.+") for n in range(3)}
    table |= {f"usb{n}": text() for n in range(14)}
    table |= {f"hostpci{n}": text() for n in range(16)}
    table |= {f"numa{n}": text() for n in range(8)}
    table |= {f"unused{n}": text() for n in range(256)}
    table |= {f"virtiofs{n}": text() for n in range(10)}
    return table


def exists(name: str) -> bool:
    """Whether a configuration may have this key at all."""
    return name in options() or name in INTERNAL


def is_number(name: str) -> bool:
    """Whether a read shows this key as a JSON number."""
    param = options().get(name)
    return param is not None and param.kind in {"integer", "boolean"}


# One privilege per key; drives, NICs, serial ports and PCI devices have rules of their own (vm_rights).
PRIVILEGE: Mapping[str, str] = (
    dict.fromkeys(("cores", "cpu", "cpulimit", "cpuunits", "numa", "smp", "sockets", "vcpus"), "VM.Config.CPU")
    | dict.fromkeys(("memory", "balloon", "shares"), "VM.Config.Memory")
    | dict.fromkeys(
        ("acpi", "audio0", "hotplug", "kvm", "machine", "rng0", "scsihw", "smbios1", "tablet", "vga", "watchdog"),
        "VM.Config.HWType",
    )
    | dict.fromkeys(("boot", "bootdisk", "vmstatestorage"), "VM.Config.Disk")
    | dict.fromkeys(
        ("agent", "autostart", "bios", "description", "freeze", "keyboard", "localtime", "migrate_downtime",
         "migrate_speed", "name", "onboot", "ostype", "protection", "reboot", "startdate", "startup", "tags", "tdf",
         "template"),
        "VM.Config.Options",
    )
)  # fmt: skip
CLOUD_INIT = ("cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys")
# Applied to a running VM at once; the rest waits for the next start or needs a hotplug feature.
AT_ONCE = frozenset(
    ("description", "hookscript", "hotplug", "lock", "migrate_downtime", "migrate_speed", "name", "onboot",
     "protection", "shares", "startup", "tags", "template", "vmstatestorage", *CLOUD_INIT)
)  # fmt: skip
NEEDED_VMID = needed(integer(100, 999999999, check=formats.vmid))
