"""Describe a VM that no inventory knows: its place and its MAC as far as its name, tags and NIC tell them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from harness.contract import Category
from harness.identity import compose_mac, next_free_mac, parse_host_name
from harness.importing import contradictions
from harness.importing.found import Found
from harness.importing.known import Known
from harness.importing.machine import SEGMENT, name_of, responsibilities_of
from harness.importing.writing import Document, Gap, contradiction, noted
from harness.inventory.models import RESPONSIBILITIES
from harness.observed import ObservedGuest
from harness.plan import parse_provenance
from harness.verify import marks

CATEGORIES = get_args(Category)
NIC = "eth0"
KNOWN_MODELS = frozenset({"e1000", "e1000e", "vmxnet3", "rtl8139"})  # virtio is what the inventory takes for granted


@dataclass(frozen=True)
class Place:
    """Where a VM stands in the namespace of MACs; None for what nothing tells."""

    category: str | None
    group: str | None
    index: int | None


def vm_document(vm: ObservedGuest, found: Found, known: Known) -> Document:
    """A file for the VM; what it cannot be declared with is noted at the head."""
    place = place_of(vm, known)
    mac, index, mac_note = _mac(vm, place, found, known)
    dns = {"host_a_record": True, "dhcp_reservation": True}
    bound = {"ip": _address(vm), "purpose": "mgmt", "segment": _segment(vm, known), "ansible": True, "dns": dns}
    content = {
        "infrastructure": {"form": "vm", "interfaces": {NIC: {"mac": noted(mac, mac_note)}}},
        "env": {"role": _or_gap(place.group, "a group of mgmt_mac_namespace.groups"), "interfaces": {NIC: bound}},
        "mgmt_vm": _settings(vm, place, index, known),
    }
    strange = "the inventory does not know this VM: declare it like this, or list it in mgmt_site.exceptions"
    stranger = [contradiction("identity.no-strangers", strange)] if known.contract else []
    notes = (*stranger, *contradictions.of_vm(vm, found))
    return Document(known.path("host_vars", f"{name_of(vm)}.yml"), content, notes)


def place_of(vm: ObservedGuest, known: Known) -> Place:
    """By the VM's name, its tags, and the declared VMs of the same group."""
    try:
        name = parse_host_name(vm.name or "")
    except ValueError:
        return Place(_category(vm, None, known), None, None)
    groups = known.namespace.groups if known.namespace else {}
    group = name.role if name.role in groups else None
    return Place(_category(vm, name.role, known), group, name.number or None)


def _category(vm: ObservedGuest, role: str | None, known: Known) -> str | None:
    tags = marks.category_tags(vm)
    if len(tags) == 1:
        return next(iter(tags))
    siblings = {one.vm.category for one in known.vms.values() if one.vm.group == role}
    return next(iter(siblings), None) if len(siblings) == 1 else RESPONSIBILITIES.get(role or "")


def _mac(vm: ObservedGuest, place: Place, found: Found, known: Known) -> tuple[str | Gap, int | None, str | None]:
    """The MAC to declare with its index, and why it is not the live one."""
    live = next((nic.mac.lower() for nic in vm.nics.values()), None)
    namespace = known.namespace
    why = contradictions.of_mac(live, vm, found, namespace)
    if namespace is None or place.category is None or place.group is None or not known.has_environment:
        if why is None and live is not None:
            return live, place.index, None
        todo = "one of the namespace, once category and group are known; `./invoke inventory.mac` proposes it"
        return Gap(todo), place.index, contradiction("identity.mac-namespace", why) if why else None
    taken = known.taken - {live}
    wanted = compose_mac(namespace, category=place.category, group=place.group, index=place.index or 1)
    if wanted in taken:
        wanted = next_free_mac(namespace, taken, category=place.category, group=place.group)
    if live == wanted:
        return wanted, int(wanted[-2:], 16), None
    why = why or f"{live} is not the one of its category, group and index"
    return wanted, int(wanted[-2:], 16), contradiction("identity.mac-namespace", f"{why}; set this one on the VM")


def _address(vm: ObservedGuest) -> str | Gap:
    """The address that cloud-init was told, if it was; PVE knows no other without asking the guest."""
    said = str(vm.config.get("ipconfig0", ""))
    fixed = [part.removeprefix("ip=").partition("/")[0] for part in said.split(",") if part.startswith("ip=")]
    return fixed[0] if fixed and fixed[0] != "dhcp" else Gap("its address, which the router reserves for the MAC")


def _segment(vm: ObservedGuest, known: Known) -> str | Gap:
    """The one that its bridge leads to; with several, or a VLAN tag of its own, nothing tells it."""
    if known.contract is None:
        return SEGMENT
    nic = next(iter(vm.nics.values()), None)
    if nic is not None and nic.vlan_tag is not None:
        tagged = [one.name for one in known.contract.segments.values() if one.vlan_id == nic.vlan_tag]
        return tagged[0] if len(tagged) == 1 else Gap("the segment of its VLAN tag")
    bridges = {bridge.name: bridge.segments for bridge in known.contract.hypervisor.bridges}
    reached = bridges.get(nic.bridge or "", ()) if nic else ()
    return reached[0] if len(reached) == 1 else Gap("the segment it is in")


def _settings(vm: ObservedGuest, place: Place, index: int | None, known: Known) -> dict[str, Any]:
    nic = next(iter(vm.nics.values()), None)
    origin = parse_provenance(vm.description)
    carried = place.group if place.group in RESPONSIBILITIES else None
    options = ", ".join(responsibilities_of(place.category))
    return {
        "vmid": vm.vmid,
        "category": _or_gap(place.category, f"one of {', '.join(CATEGORIES)}"),
        "group": _or_gap(place.group, "a group of mgmt_mac_namespace.groups"),
        "index": _or_gap(index, "its number within the group, which ends the MAC"),
        "responsibilities": [carried] if carried else Gap(f"what it is there for, as a list: {options}"),
        "template": _template(origin.template if origin else None, known),
        "bridge": nic.bridge if nic and nic.bridge else Gap("a bridge of the hypervisor"),
        **({"vlan_tag": nic.vlan_tag} if nic and nic.vlan_tag is not None else {}),
        **({"nic_model": nic.model} if nic and nic.model in KNOWN_MODELS else {}),
        "memory_mib": vm.memory_mib,
        "cores": vm.cores,
        "start_order": _or_gap(vm.start_order, "its place in the order of starting"),
        **({"start_delay_s": vm.start_delay_s} if vm.start_delay_s is not None else {}),
    }


def _template(name: str | None, known: Known) -> str | Gap:
    """The inventory's key of the template that the VM's notes name."""
    declared = known.contract.hypervisor.templates.values() if known.contract else ()
    key = next((template.key for template in declared if template.name == name), None if known.contract else name)
    return key or Gap("a key of mgmt_hypervisor.templates")


def _or_gap(value: Any, why: str) -> Any:
    return Gap(why) if value is None else value
