"""What must hold for a hypervisor that is installed here: its answer file needs address, MAC, key and password."""

from __future__ import annotations

from collections.abc import Iterator

from harness.answer import fqdn_mistake
from harness.inventory.fields import Unsound
from harness.inventory.nested_models import Nested
from harness.inventory.problems import KeyPath, Problem, error, shown
from harness.inventory.site import Host, Inventory, normal_mac, parse_address
from harness.inventory.typed import one_of

_TOP = "mgmt_nested"


def nested_problems(site: Inventory, nested: Nested) -> Iterator[Iterator[Problem]]:
    """One iterator per rule: a rule that meets an unsound value ends alone."""
    yield _way_in(site)
    yield _interface(site)
    yield _name(site)
    yield _room_on_disk(site, nested)
    yield _memory(site, nested)
    yield _images(site, nested)


def _hypervisor(site: Inventory) -> Host:
    host = site.hosts.get(site.settings.hypervisor)
    if host is None or host.hypervisor is None:
        raise Unsound("mgmt_hypervisor")
    return host


def _way_in(site: Inventory) -> Iterator[Problem]:
    host = _hypervisor(site)
    said = host.hypervisor.ssh if host.hypervisor else None
    for key, why in (("identity_file", "root's key on it"), ("password", "root's password on it")):
        path = ("mgmt_hypervisor", "ssh", key)
        if getattr(said, key) is None:
            expected = f"{why}, because {_TOP} installs it"
            yield error(host.at("mgmt_hypervisor", "ssh"), path, found="nothing", expected=expected)


def _interface(site: Inventory) -> Iterator[Problem]:
    """The address the installer gives it belongs to a NIC with a MAC, in a segment with a gateway."""
    host = _hypervisor(site)
    bound = next((one for one in host.claims if parse_address(one.ip)), None)
    if bound is None:
        return  # reported where it is missing
    if normal_mac(bound.mac) is None:
        path: KeyPath = ("infrastructure", "interfaces", bound.key, "mac")
        expected = f"its MAC, which {_TOP} gives the virtual machine"
        yield error(host.at(*path), path, found=shown(bound.mac), expected=expected)
    address = parse_address(bound.ip)
    if address and not any(address in segment.subnet for segment in site.sound_segments.values()):
        path = ("env", "interfaces", bound.key, "ip")
        yield error(host.at(*path), path, found=shown(bound.ip), expected="an address in a segment of the site")


def _name(site: Inventory) -> Iterator[Problem]:
    """The installer takes fewer names than DNS does."""
    host = _hypervisor(site)
    if expected := fqdn_mistake(host.fqdn):
        yield error(host.declared, (), found=f"the name {host.fqdn!r}", expected=f"{expected}, as the installer does")


def _room_on_disk(site: Inventory, nested: Nested) -> Iterator[Problem]:
    size, wanted = nested.machine.disk_gib, nested.answer.lvm.hdsize if nested.answer.lvm else None
    if wanted is not None and wanted > size:
        path = (_TOP, "answer", "lvm", "hdsize")
        yield error(site.at(*path), path, found=shown(wanted), expected=f"at most machine.disk_gib, {size}")


def _memory(site: Inventory, nested: Nested) -> Iterator[Problem]:
    host = _hypervisor(site)
    reserve = host.hypervisor.host_reserve_gib * 1024 if host.hypervisor else 0
    guests = sum(guest.vm.memory_mib for guest in site.guests if guest.vm)
    if guests + reserve > nested.machine.memory_mib:
        path = (_TOP, "machine", "memory_mib")
        expected = f"{guests + reserve} MiB: {guests} for the VMs and {reserve} for the host"
        yield error(site.at(*path), path, found=shown(nested.machine.memory_mib), expected=expected)


def _images(site: Inventory, nested: Nested) -> Iterator[Problem]:
    """What is made here has its place here, and its checksum is known when it has been made."""
    host = _hypervisor(site)
    templates = host.hypervisor.templates if host.hypervisor else {}
    for key in nested.images:
        path: KeyPath = (_TOP, "images", key)
        template = templates.get(key)
        if template is None:
            yield error(site.at(*path), path, found=shown(key), expected=one_of(templates))
        elif template.image is None or template.image.file is None or template.image.checksum_file is None:
            expected = "image.file and image.checksum_file of that template, where it is to be put"
            yield error(site.at(*path), path, found="a template without them", expected=expected)
