"""Turn PVE's strings into values and back, without touching what we do not know."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract import Nic
from harness.observed import ObservedNic

NIC_MODELS = frozenset(
    {"e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er"}
    | {"ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3"}
)
DEFAULT_MEMORY_MIB = 512
_DISK = re.compile(r"(?:scsi|virtio|sata|ide|efidisk|tpmstate)\d+")


def encode(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as PVE accepts them: booleans are 1 and 0 (it refuses the words), None is left out."""
    return {
        name: int(value) if isinstance(value, bool) else value
        for name, value in parameters.items()
        if value is not None
    }


def parse_properties(text: str, default_key: str) -> dict[str, str]:
    """A property string: `local-lvm:vm-100-disk-0,size=32G`; the part without `=` belongs to `default_key`."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name if mark else default_key: value if mark else name for name, mark, value in pairs}


def render_properties(properties: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in properties.items())


def parse_nic(slot: str, text: str) -> ObservedNic:
    properties = parse_properties(text, "model")
    model = next((name for name in properties if name in NIC_MODELS), None)
    mac = properties[model] if model else properties.get("macaddr", "")
    tag = properties.get("tag")
    return ObservedNic(
        slot=slot,
        model=model or properties.get("model", ""),
        mac=mac,
        bridge=properties.get("bridge"),
        vlan_tag=int(tag) if tag else None,
    )


def render_nic(nic: Nic, present: str = "") -> str:
    """The declared model, MAC, bridge and tag; other options of `present` (firewall, mtu, queues…) are kept."""
    ours = {"model", "macaddr", "bridge", "tag", *NIC_MODELS}
    kept = {name: value for name, value in parse_properties(present, "model").items() if name not in ours}
    tag = {"tag": str(nic.vlan_tag)} if nic.vlan_tag is not None else {}
    return render_properties({nic.model: nic.mac, "bridge": nic.bridge, **kept, **tag})


def parse_nics(config: Mapping[str, Any]) -> dict[str, ObservedNic]:
    return {key: parse_nic(key, str(config[key])) for key in sorted(config) if re.fullmatch(r"net\d+", key)}


def parse_disks(config: Mapping[str, Any]) -> dict[str, str]:
    """Slot -> volume string, CD drives included (they are cloned, too)."""
    return {key: str(config[key]) for key in sorted(config) if _DISK.fullmatch(key)}


def parse_startup(text: str | None) -> tuple[int | None, int | None]:
    """(order, delay in seconds after this guest) of `order=10,up=15`."""
    properties = parse_properties(text or "", "order")
    order, up = properties.get("order"), properties.get("up")
    return (int(order) if order else None, int(up) if up else None)


def render_startup(order: int, delay_s: int | None) -> str:
    return f"order={order}" + (f",up={delay_s}" if delay_s is not None else "")


def parse_tags(text: str | None) -> frozenset[str]:
    return frozenset(tag for tag in re.split(r"[;,\s\0]+", text or "") if tag)


def render_tags(tags: Sequence[str] | frozenset[str]) -> str:
    return ";".join(sorted(tags))


def parse_bool(value: object, *, default: bool = False) -> bool:
    return default if value is None else str(value) in {"1", "True"}


def parse_agent(text: object) -> bool:
    return parse_bool(parse_properties(str(text or ""), "enabled").get("enabled"))


def parse_memory(text: object) -> int:
    """MiB of `2048` or `current=2048`."""
    return int(parse_properties(str(text or ""), "current").get("current") or DEFAULT_MEMORY_MIB)


def parse_count(value: object, *, default: int = 1) -> int:
    return default if value in (None, "") else int(str(value))


def parse_list(text: object) -> frozenset[str]:
    return frozenset(item for item in re.split(r"[,;\s]+", str(text or "")) if item)
