"""The machine's interfaces as PVE lists them: /etc/network/interfaces joined with what the kernel has."""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_SYS = Path("/sys/class/net")
_GUESTS = re.compile(r"tap\d+i\d+|veth.*|fwbr.*|fwpr.*|fwln.*|lo|sit\d+|dummy.*")
Interface = dict[str, object]


def present_bridges() -> list[str]:
    return [path.name for path in _SYS.iterdir() if (path / "bridge").is_dir()] if _SYS.is_dir() else []


def interfaces(file: Path, also_present: Sequence[str]) -> list[Interface]:
    """The interfaces in PVE's form; what the file does not name is described by the kernel alone."""
    declared = _declared(file)
    for name in _kernel_names():
        declared.setdefault(name, _from_kernel(name))
    return [
        _finished(name, interface, number, name in also_present)
        for number, (name, interface) in enumerate(declared.items(), start=3)
    ]


def _finished(name: str, interface: Interface, priority: int, counts_as_present: bool) -> Interface:
    item: Interface = {"iface": name, "priority": priority, "families": ["inet"], "method6": "manual"}
    item |= {"type": "bridge" if "bridge_ports" in interface else "eth", "method": "manual", **interface}
    exists = (_SYS / name).exists() or counts_as_present
    if exists and item["type"] == "eth":
        item["exists"] = 1
    if exists and (counts_as_present or "up" in _operstate(name)):
        item["active"] = 1
    return item


def _operstate(name: str) -> str:
    flags = int((_SYS / name / "flags").read_text(encoding="ascii"), 16)
    return "up" if flags & 1 else "down"


def _declared(file: Path) -> dict[str, Interface]:
    """The stanzas of an interfaces file, with PVE's names for the options."""
    found: dict[str, Interface] = {}
    automatic: set[str] = set()
    current: Interface = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in {"auto", "allow-hotplug"}:
            automatic |= set(words[1:])
        elif words[0] == "iface" and words[2] == "inet":
            current = found.setdefault(words[1], {"method": words[3]})
        elif words[0] in {"address", "gateway", "netmask"} or words[0].startswith("bridge"):
            current[words[0].replace("-", "_")] = " ".join(words[1:])
    found.pop("lo", None)
    for name, interface in found.items():
        if name in automatic:
            interface["autostart"] = 1
        _normalise(interface)
    return found


def _normalise(interface: Interface) -> None:
    if interface.get("bridge_ports") == "none":
        interface["bridge_ports"] = ""
    if "address" in interface:
        given = f"{interface['address']}/{interface.get('netmask', 24)}"
        cidr = ipaddress.ip_interface(str(interface["address"]) if "/" in str(interface["address"]) else given)
        interface |= {"address": str(cidr.ip), "netmask": str(cidr.network.prefixlen), "cidr": str(cidr)}


def _kernel_names() -> list[str]:
    names = sorted(path.name for path in _SYS.iterdir()) if _SYS.is_dir() else []
    return [name for name in names if not _GUESTS.fullmatch(name)]


def _from_kernel(name: str) -> Interface:
    interface: Interface = {}
    if (_SYS / name / "bridge").is_dir():
        ports = [path.name for path in (_SYS / name / "brif").iterdir()]
        interface["bridge_ports"] = " ".join(sorted(port for port in ports if not _GUESTS.fullmatch(port)))
        interface |= {"bridge_stp": "off", "bridge_fd": "0", "autostart": 1}
    for address in _addresses(name):
        if address["family"] == "inet" and address.get("scope") == "global":
            interface |= {"method": "static", "address": address["local"], "netmask": str(address["prefixlen"])}
            interface["cidr"] = f"{address['local']}/{address['prefixlen']}"
            if gateway := _gateway(name):
                interface["gateway"] = gateway
            break
    return interface


def _addresses(name: str) -> list[dict[str, Any]]:
    shown = _ip("addr", "show", "dev", name)
    return list(shown[0].get("addr_info", [])) if shown else []


def _gateway(name: str) -> str | None:
    routes = _ip("route", "show", "default", "dev", name)
    return routes[0].get("gateway") if routes else None


def _ip(*arguments: str) -> list[dict[str, Any]]:
    """`ip -j`, or nothing where there is no `ip`: then the file alone speaks."""
    try:
        done = subprocess.run(["ip", "-j", *arguments], capture_output=True, text=True, check=False, timeout=5)
    except FileNotFoundError:
        return []
    return list(json.loads(done.stdout or "[]"))


def own_address(found: Sequence[Interface]) -> str | None:
    """The address of vmbr0, or of the first interface that has one."""
    ordered = sorted(found, key=lambda interface: interface["iface"] != "vmbr0")
    return next((str(interface["address"]) for interface in ordered if "address" in interface), None)
