"""What must hold for a site as a whole: who is who, what fits, and that the bytes of its MACs mean what they say."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta

from harness import identity
from harness.inventory.fields import Unsound
from harness.inventory.models import RESPONSIBILITIES
from harness.inventory.problems import KeyPath, Problem, error, shown, warning
from harness.inventory.rules_guest import address_problems, alias_problems, lost_segments, mac_of
from harness.inventory.rules_workload import workload_problems
from harness.inventory.site import MANAGEMENT_GROUP, UNKNOWN, Host, Inventory, parse_address
from harness.inventory.typed import close_to, one_of

# A waiver is for the time until somebody has put the thing right.
LONGEST_WAIVER = timedelta(days=90)
_SITE_PARTS = {"hypervisor": "mgmt_hypervisor", "core_router": None, "tenant_hypervisor": None}


def site_problems(site: Inventory, today: date) -> Iterator[Iterator[Problem]]:
    """One iterator per rule: a rule that meets an unsound value ends alone."""
    yield _parts(site)
    yield _router(site)
    yield _tenants(site)
    yield _machines(site)
    yield _template_storages(site)
    yield _backup_storage(site)
    yield _bridge_segments(site)
    yield _segments(site)
    yield _namespace_bytes(site)
    if site.whole and all(host.vm for host in site.hosts.values() if MANAGEMENT_GROUP in host.groups):
        yield _memory(site)
        yield _coverage(site)
    yield workload_problems(site)
    yield _planned(site)
    yield _exceptions(site)
    yield _scratch(site)
    yield _waivers(site, today)


def _parts(site: Inventory) -> Iterator[Problem]:
    """The hosts that play the site's parts exist and say what their part needs."""
    for key, needs in _SITE_PARTS.items():
        name = site.settings.__dict__.get(key)
        path: KeyPath = ("mgmt_site", key)
        if name is None or not site.whole:
            continue
        if name not in site.hosts:
            found = f"the unknown host {name!r}"
            yield error(
                site.at(*path), path, found=found, expected="a host of the site", hint=close_to(name, site.hosts)
            )
        elif needs and needs not in site.hosts[name].variables:
            at = site.hosts[name].declared
            yield error(at, (needs,), found="nothing", expected=f"the key {needs} on the hypervisor {name}")


def _part(site: Inventory, name: str) -> Host:
    if name not in site.hosts:
        raise Unsound(name)
    return site.hosts[name]


def _router(site: Inventory) -> Iterator[Problem]:
    router = _part(site, site.settings.core_router)
    if router.vm is not None:
        path = ("mgmt_site", "core_router")
        expected = "a machine that is no VM of the management hypervisor"
        yield error(site.at(*path), path, found=f"the management VM {router.name!r}", expected=expected)
    else:
        yield from _no_address(router, "the core router's address")


def _tenants(site: Inventory) -> Iterator[Problem]:
    if site.settings.tenant_hypervisor == site.settings.hypervisor:
        path = ("mgmt_site", "tenant_hypervisor")
        expected = "another machine than the management hypervisor"
        yield error(site.at(*path), path, found=shown(site.settings.hypervisor), expected=expected)
    for place, name in enumerate(site.settings.tenant_segments):
        at: KeyPath = ("mgmt_site", "tenant_segments", place)
        if not site.segments:
            return  # reported where they should be
        if name not in site.segments:
            found, hint = f"the unknown segment {name!r}", close_to(name, site.segments)
            yield error(site.at(*at), at, found=found, expected=one_of(site.sound_segments), hint=hint)
        elif ours := sorted(host.name for host in site.hosts.values() if host.ours and _is_in(host, name)):
            found = f"the segment {name!r}, in which {ours[0]} is"
            yield error(site.at(*at), at, found=found, expected="a segment that is the tenants' alone")


def _is_in(host: Host, segment: str) -> bool:
    return any(interface.segment == segment for interface in host.env.interfaces.values())


def _machines(site: Inventory) -> Iterator[Problem]:
    """Names, MACs and addresses of our hosts that are no VMs."""
    for host in site.hosts.values():
        if host.ours and host.vm is None and "mgmt_vm" not in host.variables:
            for rule in (
                _machine_name(host),
                _machine_macs(host),
                _machine_addresses(site, host),
                alias_problems(host),
            ):
                with contextlib.suppress(Unsound):  # one wrong value says nothing about the next
                    yield from rule
    yield from _no_address(_part(site, site.settings.hypervisor), "the hypervisor's address")


def _machine_name(host: Host) -> Iterator[Problem]:
    try:
        form = identity.parse_host_name(host.name).form
    except ValueError as expected:
        yield error(host.declared, (), found=f"the name {host.name!r}", expected=str(expected))
        return
    said = host.infrastructure.form
    if said is not None and said not in {form, "vm"}:  # a router may well be a VM elsewhere
        path = ("infrastructure", "form")
        yield error(host.at(*path), path, found=shown(said), expected=f"{form!r}, as the name {host.name!r} says")


def _machine_macs(host: Host) -> Iterator[Problem]:
    for key, hardware in host.infrastructure.interfaces.items():
        bound = host.env.interfaces.get(key)
        path = ("infrastructure", "interfaces", key, "mac")
        if hardware.mac is None or hardware.mac.upper() == UNKNOWN:
            reserved = bound is not None and bound.dns.dhcp_reservation
            hint = "no reservation can be made for it" if reserved else "fill it in when it is known"
            yield warning(host.at(*path), path, found=shown(hardware.mac), expected="the MAC", hint=hint)
            continue
        try:
            identity.parse_mac(hardware.mac)
        except ValueError as expected:
            yield error(host.at(*path), path, found=shown(hardware.mac), expected=str(expected))


def _machine_addresses(site: Inventory, host: Host) -> Iterator[Problem]:
    for key, interface in host.env.interfaces.items():
        path = ("env", "interfaces", key)
        address = parse_address(interface.ip)
        if address is None and interface.ip not in {None, "dhcp"}:
            at = host.at(*path, "ip")
            yield error(at, (*path, "ip"), found=shown(interface.ip), expected="an IPv4 address, dhcp or null")
        elif interface.segment is not None and interface.segment not in site.segments:
            if interface.segment not in lost_segments(site):
                hint = close_to(interface.segment, site.segments)
                found, known = f"the unknown segment {interface.segment!r}", one_of(site.sound_segments)
                at = host.at(*path, "segment")
                yield error(at, (*path, "segment"), found=found, expected=known, hint=hint)
        elif address is not None and interface.segment in site.sound_segments:
            yield from address_problems(host, key, address, site.sound_segments[interface.segment])


def _no_address(host: Host, expected: str) -> Iterator[Problem]:
    said = [interface.ip for interface in host.env.interfaces.values() if interface.ip not in {None, "dhcp"}]
    if host.ours and not said:
        path = ("env", "interfaces")
        yield error(host.at(*path), path, found="no fixed address", expected=expected)


def _template_storages(site: Inventory) -> Iterator[Problem]:
    host = _part(site, site.settings.hypervisor)
    if host.hypervisor is None:
        return
    storages = host.hypervisor.storages
    known = sorted(name for name, storage in storages.items() if "images" in storage.content)
    for key, template in host.hypervisor.templates.items():
        if template.storage not in known:
            path = ("mgmt_hypervisor", "templates", key, "storage")
            found = f"the unknown storage {template.storage!r}"
            hint = close_to(template.storage, known) or "a template needs a storage with content images"
            yield error(host.at(*path), path, found=found, expected=one_of(known), hint=hint)


def _backup_storage(site: Inventory) -> Iterator[Problem]:
    host = _part(site, site.settings.hypervisor)
    if host.hypervisor is None or host.hypervisor.backup is None:
        return
    known = sorted(name for name, storage in host.hypervisor.storages.items() if "backup" in storage.content)
    if host.hypervisor.backup.storage not in known:
        path = ("mgmt_hypervisor", "backup", "storage")
        found = f"the unknown storage {host.hypervisor.backup.storage!r}"
        hint = close_to(host.hypervisor.backup.storage, known) or "a backup needs a storage with content backup"
        yield error(host.at(*path), path, found=found, expected=one_of(known), hint=hint)


def _bridge_segments(site: Inventory) -> Iterator[Problem]:
    host = _part(site, site.settings.hypervisor)
    if host.hypervisor is None:
        return
    for name, bridge in host.hypervisor.bridges.items():
        for place, segment in enumerate(bridge.segments):
            if segment not in site.segments and segment not in lost_segments(site):
                path = ("mgmt_hypervisor", "bridges", name, "segments", place)
                found, hint = f"the unknown segment {segment!r}", close_to(segment, site.segments)
                yield error(host.at(*path), path, found=found, expected=one_of(site.sound_segments), hint=hint)


def _segments(site: Inventory) -> Iterator[Problem]:
    """What the VMs need of their segments, once for each segment."""
    top = "deevnet_vlans"
    for name, count in lost_segments(site).items():
        hint = close_to(name, site.segments)
        found = f"no segment {name!r}, in which {count} VMs are"
        yield error(site.at(top), (top,), found=found, expected="each segment that a VM is in", hint=hint)
    used = {one.segment for guest in site.guests for one in guest.env.__dict__.get("interfaces", {}).values()}
    for name in sorted(used & site.segments.keys()):
        vlan = site.variables[top].value[name]
        for key in ("subnet", "gateway"):
            if isinstance(vlan, dict) and vlan.get(key) is None:
                path = (top, name, key)
                yield error(site.at(*path), path, found="nothing", expected=f"the {key} of a segment that VMs are in")


def _namespace_bytes(site: Inventory) -> Iterator[Problem]:
    """Each byte of each MAC is what site, category, group and index say. One wrong byte of the site is one problem."""
    if doubled := list(_doubled_bytes(site)):
        yield from doubled
        return
    namespace = site.mac_namespace
    wrong: dict[tuple[str, ...], list[tuple[Host, str, str]]] = {}
    seen: Counter[tuple[str, ...]] = Counter()
    for guest in site.guests:
        for name, key, said, wanted in _bytes_of(namespace, guest):
            seen[key] += 1
            if said != wanted:
                wrong.setdefault(key, []).append((guest, name, said))
    for key, cases in wrong.items():
        values = {said for _, _, said in cases}
        if len(key) > 1 and len(cases) == seen[key] > 1 and len(values) == 1:
            found = f"{_value(namespace, key)!r}, but all {len(cases)} MACs have {values.pop()!r}"
            yield error(site.at(*key), key, found=found, expected="the byte that the MACs have")
            continue
        for guest, name, said in cases:
            yield _wrong_byte(guest, name, said, namespace)


def _bytes_of(namespace: identity.Namespace, guest: Host) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """(what the byte is for, the key that says so, what the MAC says, what it should be)."""
    vm = guest.vm
    if vm is None:
        return
    try:
        mac = mac_of(guest)
        if not identity.is_locally_administered(mac):
            return
        wanted = identity.compose_mac(namespace, category=vm.category, group=vm.group, index=vm.index)
    except (Unsound, KeyError):
        return  # reported where it is wrong
    top = "mgmt_mac_namespace"
    yield "prefix", (top, "prefix"), mac[:5], wanted[:5]
    yield "environment", (top, "environment"), mac[6:8], wanted[6:8]
    yield f"category {vm.category}", (top, "roles", vm.category), mac[9:11], wanted[9:11]
    yield f"group {vm.group}", (top, "groups", vm.group), mac[12:14], wanted[12:14]
    yield f"index {vm.index}", (guest.name,), mac[15:], wanted[15:]


def _value(namespace: identity.Namespace, key: tuple[str, ...]) -> str:
    said = {"prefix": namespace.prefix, "environment": namespace.environment}
    return said[key[1]] if len(key) == 2 else {**namespace.roles, **namespace.groups}[key[2]]


def _wrong_byte(guest: Host, name: str, said: str, namespace: identity.Namespace) -> Problem:
    vm = guest.vm
    assert vm is not None  # noqa: S101 - only guests have wrong bytes
    wanted = identity.compose_mac(namespace, category=vm.category, group=vm.group, index=vm.index)
    key = next(iter(guest.env.interfaces))
    path = ("infrastructure", "interfaces", key, "mac")
    found = f"{mac_of(guest)!r} with {said!r} for the {name}"
    return error(guest.at(*path), path, found=found, expected=repr(wanted), hint="as mgmt_mac_namespace lays it out")


def _doubled_bytes(site: Inventory) -> Iterator[Problem]:
    for part, entries in (("roles", site.namespace.roles), ("groups", site.namespace.groups)):
        owner: dict[str, str] = {}
        for name, byte in entries.items():
            first = owner.setdefault(byte, name)
            if first != name:
                path = ("mgmt_mac_namespace", part, name)
                yield error(site.at(*path), path, found=f"{byte!r}, which {first} has", expected="a byte of its own")


def _memory(site: Inventory) -> Iterator[Problem]:
    host = _part(site, site.settings.hypervisor)
    if host.hypervisor is None or not site.guests:
        return
    installed = host.hypervisor.hardware.memory_gib * 1024
    reserve = host.hypervisor.host_reserve_gib * 1024
    sizes = {guest.name: guest.vm.memory_mib for guest in site.guests if guest.vm}
    if sum(sizes.values()) + reserve <= installed:
        return
    largest = site.hosts[max(sizes, key=lambda name: sizes[name])]
    path = ("mgmt_vm", "memory_mib")
    found = f"{sum(sizes.values())} MiB for {len(sizes)} VMs and {reserve} MiB for the host, {largest.name} the largest"
    hint = f"{host.name} has {installed} MiB by mgmt_hypervisor.hardware.memory_gib"
    yield error(largest.at(*path), path, found=found, expected=f"at most {installed} MiB together", hint=hint)


def _coverage(site: Inventory) -> Iterator[Problem]:
    """Only a warning: whether the site keeps this promise is for `verify` to say."""
    carried = {name for guest in site.guests if guest.vm for name in guest.vm.responsibilities}
    path = ("mgmt_site", "planned")
    for name in RESPONSIBILITIES:
        if name not in carried and name not in site.settings.planned:
            hint = "give it to a VM, or list it in mgmt_site.planned with the reason"
            expected = f"a VM for {name}"
            yield warning(site.at(*path), (*path, name), found="nothing", expected=expected, hint=hint)


def _planned(site: Inventory) -> Iterator[Problem]:
    for name in site.settings.planned:
        if name not in RESPONSIBILITIES:
            path = ("mgmt_site", "planned", name)
            hint = close_to(name, RESPONSIBILITIES)
            found = f"the unknown responsibility {name!r}"
            yield error(site.at(*path), path, found=found, expected=one_of(RESPONSIBILITIES), hint=hint)


def _exceptions(site: Inventory) -> Iterator[Problem]:
    ids = {guest.vm.vmid: guest.name for guest in site.guests if guest.vm}
    for place, stranger in enumerate(site.settings.exceptions):
        if stranger.vmid in ids:
            path = ("mgmt_site", "exceptions", place, "vmid")
            found = f"{stranger.vmid}, the management VM {ids[stranger.vmid]}"
            yield error(site.at(*path), path, found=found, expected="a VM that is not ours")


def _scratch(site: Inventory) -> Iterator[Problem]:
    """A restored copy must not land on anything that is declared or allowed to be there."""
    scratch = site.settings.scratch_vmid
    hypervisor = site.hosts[site.settings.hypervisor].hypervisor if site.settings.hypervisor in site.hosts else None
    guests = [guest for guest in site.guests if guest.vm and "vmid" in guest.vm.__dict__]
    taken = {guest.vm.vmid: f"the management VM {guest.name}" for guest in guests if guest.vm}
    if hypervisor is not None:
        taken |= {one.vmid: f"the template {key}" for key, one in hypervisor.templates.items() if one.vmid}
    allowed = [one for one in site.settings.exceptions if "vmid" in one.__dict__]
    taken |= {one.vmid: "a VM that mgmt_site.exceptions allows" for one in allowed}
    if scratch in taken:
        path = ("mgmt_site", "scratch_vmid")
        found, hint = f"{scratch}, {taken[scratch]}", "what has this VMID is removed when a proof is over"
        yield error(site.at(*path), path, found=found, expected="a VMID of its own", hint=hint)


def _waivers(site: Inventory, today: date) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for place, entry in enumerate(site.waivers):
        waiver = entry.waiver
        path: KeyPath = ("mgmt_waivers", place)
        if {"clause", "until"} - waiver.__dict__.keys():
            continue
        if waiver.clause in first:
            found = f"a second waiver of {waiver.clause}"
            yield error(site.at(*path, "clause"), (*path, "clause"), found=found, expected="one waiver per clause")
        first.setdefault(waiver.clause, place)
        at, until = site.at(*path, "until"), (*path, "until")
        if waiver.until < today:
            hint = "an expired waiver fails its clause"
            found = f"a waiver of {waiver.clause} that ended on {waiver.until}"
            yield warning(at, until, found=found, expected="a day to come", hint=hint)
        elif waiver.until > (latest := today + LONGEST_WAIVER):
            found, hint = f"a waiver of {waiver.clause} until {waiver.until}", "renew it when its time has come"
            expected = f"{latest} at the latest, {LONGEST_WAIVER.days} days from now"
            yield error(at, until, found=found, expected=expected, hint=hint)
