"""Lay what a live node shows over what the inventory declares: the declared stands, what differs is noted above it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.contract import Contract, Guest
from harness.importing import contradictions
from harness.importing.found import Found
from harness.importing.known import DeclaredVm, Known
from harness.importing.machine import describe_bridge, describe_storage, describe_template, name_of, own_storages
from harness.importing.writing import Document, KeyPath, contradiction, lay_over
from harness.observed import ObservedGuest
from harness.plan.diff import differences_of
from harness.verify import allowances

Laid = Iterator[tuple[KeyPath, Any]]
TOP = "mgmt_hypervisor"
# Where the inventory says what a difference is about.
KEYS = {
    "memory_mib": ("mgmt_vm", "memory_mib"),
    "cores": ("mgmt_vm", "cores"),
    "start order": ("mgmt_vm", "start_order"),
    "start delay": ("mgmt_vm", "start_delay_s"),
}


def hypervisor_document(found: Found, known: Known, contract: Contract) -> Document:
    hypervisor = contract.hypervisor
    written = known.written(hypervisor.name, "infrastructure", "env", TOP)
    laid = dict(
        [
            *_mac(found, known, contract),
            *_address(found, contract),
            *_hardware(found, contract),
            *_parts(found, contract),
        ]
    )
    notes = tuple(contradictions.of_node(found, hypervisor.pve_version))
    return Document(known.path("host_vars", f"{hypervisor.name}.yml"), lay_over(written, laid), notes)


def _mac(found: Found, known: Known, contract: Contract) -> Laid:
    """The hypervisor's own, where it was UNKNOWN."""
    for host, key in known.unknown:
        if host == contract.hypervisor.name and found.own_mac is not None:
            yield ("infrastructure", "interfaces", key, "mac"), found.own_mac


def _address(found: Found, contract: Contract) -> Laid:
    home = found.home
    if home and home.address and home.address.ip != contract.hypervisor.address:
        yield ("env",), (f"DIFFERS: the node's address on {home.name} is {home.address.ip}",)
    if found.node.name != contract.hypervisor.node:
        yield (TOP, "node"), (f"DIFFERS: the node calls itself {found.node.name}",)


def _hardware(found: Found, contract: Contract) -> Laid:
    hardware, node = contract.hypervisor.hardware, found.node
    if node.memory_bytes < allowances.least_memory_bytes(hardware):
        said = f"the kernel has {allowances.show_gib(node.memory_bytes)}"
        yield (TOP, "hardware", "memory_gib"), (contradiction("hardware.memory", said),)
    if not allowances.has_disk(found.disks, hardware):
        said = ", ".join(f"{disk.path} {disk.size_bytes // 10**9} GB {disk.kind}" for disk in found.disks) or "no disk"
        yield (TOP, "hardware", "disk_gb"), (contradiction("hardware.disk", f"PVE sees {said}"),)
    if hardware.cpu_model is not None and hardware.cpu_model not in node.cpu_model:
        yield (TOP, "hardware", "cpu"), (contradiction("hardware.model", f"the node has {node.cpu_model}"),)


def _parts(found: Found, contract: Contract) -> Laid:
    """Bridges, storages and templates: what is declared and not there, and what is there and not declared."""
    hypervisor = contract.hypervisor
    bridges = {bridge.name: bridge for bridge in found.bridges}
    for bridge in hypervisor.bridges:
        seen = bridges.pop(bridge.name, None)
        at = (TOP, "bridges", bridge.name)
        if seen is None:
            yield at, (contradiction("network.bridge", "the node has no such bridge"),)
        elif bridge.port is not None and bridge.port not in seen.ports:
            ports = ", ".join(seen.ports) or "nothing"
            yield at, (contradiction("network.bridge", f"its port on the node is {ports}"),)
    yield from (((TOP, "bridges", name), describe_bridge(one, is_home=False)) for name, one in bridges.items())
    storages = {storage.name: storage for storage in own_storages(found)}
    for storage in hypervisor.storages:
        there = storages.pop(storage.name, None)
        lacks = sorted(storage.content - there.content) if there else []
        if there is None:
            yield (
                (TOP, "storages", storage.name),
                ("DIFFERS: the node has no such storage of its own, or it is disabled",),
            )
        elif lacks:
            yield (TOP, "storages", storage.name), (f"DIFFERS: on the node it does not take {', '.join(lacks)}",)
    yield from (((TOP, "storages", name), describe_storage(one)) for name, one in storages.items())
    templates = {name_of(one): one for one in found.templates}
    for key, template in hypervisor.templates.items():
        image = templates.pop(template.name, None)
        wrong = ("DIFFERS: the node has no template of this name",)
        notes = tuple(contradictions.of_template(image, found)) if image else wrong
        if notes:
            yield (TOP, "templates", key), notes
    yield from (((TOP, "templates", name), describe_template(one, found)) for name, one in templates.items())


# --- VMs -----------------------------------------------------------------------------------------------------------


def vm_document(vm: ObservedGuest, declared: DeclaredVm, guest: Guest, found: Found, known: Known) -> Document:
    """What is written of the VM, with the node's differences above the values they are about."""
    written = known.written(guest.name, "infrastructure", "env", "mgmt_vm")
    laid: dict[KeyPath, Any] = {}
    rest: list[str] = []
    for difference in differences_of(guest, vm):
        said = f"DIFFERS: on the node: {difference.seen}"
        path: KeyPath | None = KEYS.get(difference.key)
        if difference.key == f"{guest.nic.slot} MAC":
            path = ("infrastructure", "interfaces", declared.key, "mac")
            said = contradiction("identity.mac-applied", f"the VM has {difference.seen}")
        if path is not None and path[1] in written.get(path[0], {}):
            laid[path] = (said,)
        elif difference.key not in {"start with the node", "protection", "tags", "guest agent"}:
            rest.append(f"DIFFERS: {difference.key}: on the node {difference.seen}, declared is {difference.expected}")
    if vm.vmid != guest.vmid:
        laid["mgmt_vm", "vmid"] = (f"DIFFERS: the VM of this name is {vm.vmid}",)
    path_of_file = known.path("host_vars", f"{guest.name}.yml")
    return Document(path_of_file, lay_over(written, laid), (*contradictions.of_vm(vm, found), *rest))
