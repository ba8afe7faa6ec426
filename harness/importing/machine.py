"""Describe a hypervisor that no inventory has: what PVE shows is written, what it does not show is left to fill in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from harness.identity import parse_host_name
from harness.importing import contradictions
from harness.importing.found import Found, FoundBridge
from harness.importing.known import Known, reference
from harness.importing.writing import Document, Gap, contradiction, noted
from harness.inventory.models import RESPONSIBILITIES
from harness.observed import ObservedGuest, ObservedStorage
from harness.verify import marks

SEGMENT = "management"
HOST_RESERVE_GIB = 4
# Sizes that memory is sold in; what the firmware keeps is less than the step to the next.
MEMORY_SIZES_GIB = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
# The Debian below each major version of Proxmox VE.
DEBIAN = {"7": ("11", "bullseye"), "8": ("12", "bookworm"), "9": ("13", "trixie")}
_CONTENTS = frozenset({"images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import"})


def machine_document(found: Found, known: Known) -> Document:
    name = found.node.name
    settings = {
        "node": name,
        "api": _api(known),
        "ssh": {"user": "root", "known_hosts": "known_hosts.txt"},
        "pve_version": found.node.pve_version,
        "debian": _debian(found),
        "hardware": _hardware(found),
        "host_reserve_gib": noted(HOST_RESERVE_GIB, "memory that stays with the hypervisor: yours to decide"),
        "bridges": {bridge.name: describe_bridge(bridge, is_home=bridge == found.home) for bridge in found.bridges}
        or Gap("the node has no bridge: describe the one that VMs will be on"),
        "storages": {one.name: describe_storage(one) for one in own_storages(found)},
        "pool": noted("mgmt", "the pool of the management VMs; bootstrap makes it"),
        "templates": {name_of(one): describe_template(one, found) for one in found.templates}
        or Gap("the node has no template: bring one there, or describe the one that will come"),
    }
    notes = (*_name_notes(name), *contradictions.of_node(found, None))
    return Document(known.path("host_vars", f"{name}.yml"), {**_identity(found), "mgmt_hypervisor": settings}, notes)


def own_storages(found: Found) -> list[ObservedStorage]:
    """What an inventory may declare: enabled, and of this machine."""
    return [one for one in found.storages if one.enabled and marks.is_local(one)]


def name_of(guest: ObservedGuest) -> str:
    return guest.name or f"vm-{guest.vmid}"


def describe_bridge(bridge: FoundBridge, *, is_home: bool) -> Any:
    port = {"port": bridge.ports[0]} if bridge.ports else {}
    segments = [SEGMENT] if is_home else Gap("the segments that VMs reach through it, as [name]")
    lacks = None if bridge.ports else contradiction("network.bridge", "it has no physical port")
    return noted({**port, "segments": segments}, lacks)


def describe_storage(storage: ObservedStorage) -> Any:
    return {"type": storage.type, "content": sorted(storage.content & _CONTENTS)}


def describe_template(template: ObservedGuest, found: Found) -> Any:
    name, stands = name_of(template), sorted(marks.disk_storages(template))
    value = {
        "name": name,
        "vmid": template.vmid,
        "storage": stands[0] if len(stands) == 1 else Gap("the storage of its disk"),
        "os": _os_of(name),
        "build_mark": _mark_of(template),
        "user": Gap("the automation user in the image"),
    }
    return noted(value, *contradictions.of_template(template, found))


def _name_notes(name: str) -> Iterator[str]:
    try:
        parse_host_name(name)
    except ValueError as expected:
        yield f"NAME: the node calls itself {name}; the inventory's name is {expected}: rename the file and its entries"


def _identity(found: Found) -> dict[str, Any]:
    home = found.home
    mac = found.own_mac or noted("UNKNOWN", "PVE does not tell the MAC of its own NIC; `ip -br link` on the node does")
    dns = {"host_a_record": True, "dhcp_reservation": found.own_mac is not None, "cnames": ["pve"]}
    address = str(home.address.ip) if home and home.address else Gap("the hypervisor's address")
    bound = {"ip": address, "purpose": "mgmt", "segment": SEGMENT, "ansible": True, "dns": dns}
    return {
        "infrastructure": {"form": "hv", "interfaces": {"eth0": {"mac": mac}}},
        "env": {"interfaces": {"eth0": bound}},
    }


def _api(known: Known) -> dict[str, Any]:
    api = known.api
    tokens = {purpose: {"id": one.id, "secret": reference(one.secret)} for purpose, one in api.tokens.items()}
    return {"url": api.url, "fingerprint": api.fingerprint, "tokens": tokens}


def _debian(found: Found) -> dict[str, Any]:
    known = DEBIAN.get(found.node.pve_version.split(".")[0])
    return {
        "release": known[0] if known else Gap("Debian's release, in quotes"),
        "codename": known[1] if known else Gap("Debian's code name"),
        "architecture": found.architecture or Gap("`uname -m` on the node"),
    }


def _hardware(found: Found) -> dict[str, Any]:
    node = found.node
    gib = node.memory_bytes / 2**30
    size = next((size for size in MEMORY_SIZES_GIB if size >= gib), int(gib) + 1)
    largest = max(found.disks, key=lambda disk: disk.size_bytes, default=None)
    return {
        "memory_gib": noted(size, f"the kernel has {gib:.1f} GiB"),
        "disk_gb": largest.size_bytes // 10**9 if largest else Gap("the disk's size in GB; PVE sees no disk"),
        "solid_state": largest.kind in ("ssd", "nvme") if largest else Gap("true or false"),
        "nic": {"speed_mbit": Gap("the link's speed, such as 1000; `ethtool` on the node tells")},
        "cpu": {"model": node.cpu_model, "cores": node.cpu_cores, "threads": node.cpu_threads},
    }


def _os_of(name: str) -> str | Gap:
    found = re.match(r"(fedora|debian|ubuntu|rocky|alma|centos|alpine)", name)
    return found[1] if found else Gap("the image's operating system, such as fedora")


def _mark_of(template: ObservedGuest) -> str | Gap:
    """The line that starts with `build:`, else the first that says anything."""
    lines = [line.strip() for line in template.description.splitlines() if line.strip()]
    marked = next((line for line in lines if line.startswith("build:")), None)
    return marked or next(iter(lines), None) or Gap("the text that the image factory leaves in the notes")


def responsibilities_of(category: str | None) -> list[str]:
    return [name for name, one in RESPONSIBILITIES.items() if category in (None, one)]
