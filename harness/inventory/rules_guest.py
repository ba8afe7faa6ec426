"""What must hold for each management VM: identity, place, shape, and that it is no core network service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address

from harness import identity
from harness.contract import Mac, Segment
from harness.inventory.fields import Unsound
from harness.inventory.models import RESPONSIBILITIES, Hypervisor, Interface, Vm
from harness.inventory.problems import KeyPath, Problem, error, shown
from harness.inventory.rules_workload import CORE_EXPECTED, CORE_HINT, core_services
from harness.inventory.site import UNKNOWN, Host, Inventory, parse_address
from harness.inventory.typed import close_to, one_of

_CORE_GROUPS = frozenset({"routers", "dns_servers", "dhcp_servers"})
_CORE_ROLES = frozenset({"dns", "dhcp", "nat", "router", "routing", "gateway", "firewall", "core", "edge"})


def guest_problems(site: Inventory, guest: Host, vm: Vm) -> Iterator[Iterator[Problem]]:
    """One iterator per rule: a rule that meets an unsound value ends alone."""
    yield _name(guest)
    yield _core_service(guest, vm)
    yield _place(site, guest, vm)
    yield _template(site, guest, vm)
    yield _bridge(site, guest, vm)
    yield _storage(site, guest, vm)
    yield _role(site, guest, vm)
    yield _namespace_entries(site, guest, vm)
    yield _responsibilities(guest, vm)
    yield _interfaces(guest)
    yield _mac(guest)
    yield _flags(guest)
    yield alias_problems(guest)
    yield _segment(site, guest, vm)


def interface_of(guest: Host) -> tuple[str, Interface]:
    """The one interface of a management VM; Unsound when there is not exactly one."""
    if len(guest.env.interfaces) != 1:
        raise Unsound("interfaces")
    return next(iter(guest.env.interfaces.items()))


def mac_of(guest: Host) -> Mac:
    """The VM's MAC; Unsound when it is none."""
    key, _ = interface_of(guest)
    hardware = guest.infrastructure.interfaces.get(key)
    if hardware is None or hardware.mac is None:
        raise Unsound("mac")
    try:
        return identity.parse_mac(hardware.mac)
    except ValueError as cause:
        raise Unsound("mac") from cause


def lost_segments(site: Inventory) -> dict[str, int]:
    """Segments that nobody declares and more than one VM is in: the mistake is not the VMs'."""
    used = Counter(one.segment for guest in site.guests for one in guest.env.__dict__.get("interfaces", {}).values())
    return {name: count for name, count in used.items() if count > 1 and name and name not in site.segments}


def _report(guest: Host, path: KeyPath, found: str, expected: str, hint: str = "") -> Problem:
    return error(guest.at(*path), guest.written(path), found=found, expected=expected, hint=hint)


def _name(guest: Host) -> Iterator[Problem]:
    try:
        name = identity.parse_host_name(guest.name)
    except ValueError as expected:
        yield error(guest.declared, (), found=f"the name {guest.name!r}", expected=str(expected))
        return
    if name.form != "vm":
        found = f"the name {guest.name!r}"
        yield error(guest.declared, (), found=found, expected="the form vm in the name of a management VM")
    elif guest.infrastructure.form != name.form:
        path = ("infrastructure", "form")
        yield _report(guest, path, shown(guest.infrastructure.form), f"{name.form!r}, as the name {guest.name!r} says")


def _core_service(guest: Host, vm: Vm) -> Iterator[Problem]:
    for group in sorted(_CORE_GROUPS & set(guest.groups)):
        at = guest.entries.get(group, guest.declared)
        found = f"the management VM {guest.name} in the group {group}"
        yield error(at, (group, guest.name), found=found, expected=CORE_EXPECTED, hint=CORE_HINT)
    if guest.env.role in _CORE_ROLES:
        yield _report(guest, ("env", "role"), shown(guest.env.role), CORE_EXPECTED, CORE_HINT)
    for key, found in core_services(vm.services):
        yield _report(guest, ("mgmt_vm", "services", *key), found, CORE_EXPECTED, CORE_HINT)
    for place, responsibility in enumerate(vm.responsibilities):
        if responsibility in _CORE_ROLES:
            path = ("mgmt_vm", "responsibilities", place)
            yield _report(guest, path, shown(responsibility), CORE_EXPECTED, CORE_HINT)


def _place(site: Inventory, guest: Host, vm: Vm) -> Iterator[Problem]:
    expected = site.settings.hypervisor
    if vm.hypervisor != expected and expected in site.hosts:
        path = ("mgmt_vm", "hypervisor")
        hint = "the tenant hypervisor carries no management VM" if vm.hypervisor in site.hosts else ""
        yield _report(guest, path, shown(vm.hypervisor), f"the management hypervisor {expected!r}", hint)


def _hypervisor(site: Inventory) -> Hypervisor:
    host = site.hosts.get(site.settings.hypervisor)
    if host is None or host.hypervisor is None:
        raise Unsound("hypervisor")
    return host.hypervisor


def _unknown(guest: Host, path: KeyPath, value: str, known: list[str]) -> Problem:
    return _report(guest, path, f"the unknown {path[-1]} {value!r}", one_of(known), close_to(value, known))


def _template(site: Inventory, guest: Host, vm: Vm) -> Iterator[Problem]:
    known = sorted(_hypervisor(site).templates)
    if vm.template not in known:
        yield _unknown(guest, ("mgmt_vm", "template"), vm.template, known)


def _bridge(site: Inventory, guest: Host, vm: Vm) -> Iterator[Problem]:
    bridges = _hypervisor(site).bridges
    if vm.bridge not in bridges:
        yield _unknown(guest, ("mgmt_vm", "bridge"), vm.bridge, sorted(bridges))


def _storage(site: Inventory, guest: Host, vm: Vm) -> Iterator[Problem]:
    storages = _hypervisor(site).storages
    known = sorted(name for name, storage in storages.items() if "images" in storage.content)
    if vm.storage is not None and vm.storage not in known:
        yield _unknown(guest, ("mgmt_vm", "storage"), vm.storage, known)


def _role(site: Inventory, guest: Host, vm: Vm) -> Iterator[Problem]:
    known = sorted(site.namespace.groups)
    role = guest.env.role
    if role is None:
        yield _report(guest, ("env", "role"), "nothing", one_of(known))
    elif role not in known and role != vm.group:  # an unknown group is reported as such
        yield _unknown(guest, ("env", "role"), role, known)


def _namespace_entries(site: Inventory, guest: Host, vm: Vm) -> Iterator[Problem]:
    groups = sorted(site.namespace.groups)
    if vm.group not in groups:
        yield _unknown(guest, ("mgmt_vm", "group"), vm.group, groups)
    if vm.category not in site.namespace.roles:
        found = f"no byte for the category {vm.category!r}"
        path = ("mgmt_mac_namespace", "roles")
        yield error(site.at(*path), path, found=found, expected="one byte for each category that a VM has")


def _responsibilities(guest: Host, vm: Vm) -> Iterator[Problem]:
    for place, responsibility in enumerate(vm.responsibilities):
        path = ("mgmt_vm", "responsibilities", place)
        if responsibility not in RESPONSIBILITIES and responsibility not in _CORE_ROLES:
            known = list(RESPONSIBILITIES)
            hint = close_to(responsibility, known)
            yield _report(guest, path, f"the unknown responsibility {responsibility!r}", one_of(known), hint)


def _interfaces(guest: Host) -> Iterator[Problem]:
    bound = guest.env.interfaces
    path: KeyPath = ("env", "interfaces")
    if len(bound) != 1:
        found = f"{len(bound)} interfaces" if bound else "no interface"
        yield _report(guest, path, found, "exactly one interface on a management VM")
        return
    key = next(iter(bound))
    hardware = guest.infrastructure.interfaces
    if key not in hardware:
        path = ("infrastructure", "interfaces", key)
        yield _report(guest, path, "nothing", f"the MAC of {key}, which env.interfaces binds", close_to(key, hardware))
        return
    for extra in sorted(set(hardware) - {key}):
        path = ("infrastructure", "interfaces", extra)
        yield _report(guest, path, "an interface that env.interfaces does not bind", f"only {key}")


def _mac(guest: Host) -> Iterator[Problem]:
    key, _ = interface_of(guest)
    hardware = guest.infrastructure.interfaces.get(key)
    if hardware is None:
        return
    path = ("infrastructure", "interfaces", key, "mac")
    hint = "`./invoke inventory.mac` proposes the next free one"
    if hardware.mac is None or hardware.mac.upper() == UNKNOWN:
        yield _report(guest, path, shown(hardware.mac), "an explicit MAC on a management VM", hint)
        return
    try:
        mac = identity.parse_mac(hardware.mac)
    except ValueError as expected:
        yield _report(guest, path, shown(hardware.mac), str(expected))
        return
    if not identity.is_locally_administered(mac):
        expected_bit = "a locally administered address (the second digit 2, 6, a or e)"
        yield _report(guest, path, shown(hardware.mac), expected_bit, hint)


def _flags(guest: Host) -> Iterator[Problem]:
    key, interface = interface_of(guest)
    wanted = {"host_a_record": interface.dns.host_a_record, "dhcp_reservation": interface.dns.dhcp_reservation}
    for flag, value in wanted.items():
        if value is not True:
            path = ("env", "interfaces", key, "dns", flag)
            hint = "a management VM has a static reservation and a name"
            yield _report(guest, path, shown(value) if value is not None else "nothing", "true", hint)


def _segment(site: Inventory, guest: Host, vm: Vm) -> Iterator[Problem]:
    key, interface = interface_of(guest)
    path: KeyPath = ("env", "interfaces", key)
    if interface.segment is None:
        yield _report(guest, (*path, "segment"), "nothing", one_of(site.sound_segments))
        return
    if interface.segment not in site.segments:
        if interface.segment not in lost_segments(site):
            yield _unknown(guest, (*path, "segment"), interface.segment, list(site.sound_segments))
        return
    bridge = _hypervisor(site).bridges.get(vm.bridge)
    if bridge and vm.vlan_tag is None and interface.segment not in bridge.segments:
        expected = f"a segment of the bridge {vm.bridge}: {', '.join(bridge.segments) or 'it has none'}"
        yield _report(guest, (*path, "segment"), shown(interface.segment), expected)
        return
    segment = site.segment(interface.segment)
    address = parse_address(interface.ip)
    if address is None:
        hint = "the address is fixed here and reserved on the router"
        yield _report(guest, (*path, "ip"), shown(interface.ip), "an IPv4 address", hint)
    elif address == segment.gateway:
        yield _report(guest, (*path, "ip"), f"the gateway's address {address}", "an address of its own")
    else:
        yield from address_problems(guest, key, address, segment)
    yield from _neighbours(guest, path, interface, segment)


def _neighbours(host: Host, path: KeyPath, interface: Interface, segment: Segment) -> Iterator[Problem]:
    if interface.gateway is not None and interface.gateway != str(segment.gateway):
        yield _report(host, (*path, "gateway"), shown(interface.gateway), f"{segment.gateway}, the segment's gateway")
    if interface.prefix is not None and interface.prefix != segment.subnet.prefixlen:
        yield _report(host, (*path, "prefix"), shown(interface.prefix), f"{segment.subnet.prefixlen}, the segment's")


def address_problems(host: Host, key: str, address: IPv4Address, segment: Segment) -> Iterator[Problem]:
    """Whether a fixed address can stand in its segment: of a VM as of a machine."""
    path = ("env", "interfaces", key, "ip")
    subnet = segment.subnet
    if address not in subnet:
        yield _report(host, path, shown(str(address)), f"an address in {subnet}, the segment {segment.name}")
    elif address in {subnet.network_address, subnet.broadcast_address}:
        yield _report(host, path, shown(str(address)), f"a host address in {subnet}")
    elif segment.pool and segment.pool[0] <= address <= segment.pool[1]:
        first, last = segment.pool
        found = f"{address}, inside the dynamic pool {first} to {last}"
        yield _report(host, path, found, "an address outside the pool")


def alias_problems(host: Host) -> Iterator[Problem]:
    """Aliases are short names."""
    for key, interface in host.env.interfaces.items():
        for place, cname in enumerate(interface.dns.cnames or []):
            if not identity.is_label(cname):
                path = ("env", "interfaces", key, "dns", "cnames", place)
                hint = "a short name without dots: the site's zone is added"
                yield _report(host, path, shown(cname), "a DNS label (a-z, 0-9, -)", hint)
