"""What must hold for what templates are made of, and for the VM that proves them."""

from __future__ import annotations

from collections.abc import Iterator

from harness import identity
from harness.inventory.fields import Unsound
from harness.inventory.models import Hypervisor
from harness.inventory.problems import KeyPath, Problem, error, shown
from harness.inventory.rules_guest import lost_segments
from harness.inventory.site import Claim, Host, Inventory, normal_mac, parse_address
from harness.inventory.typed import close_to, one_of


def template_problems(site: Inventory) -> Iterator[Iterator[Problem]]:
    """One iterator per rule: a rule that meets an unsound value ends alone."""
    yield _images(site)
    yield _scratch_host(site)


def _hypervisor(site: Inventory) -> tuple[Host, Hypervisor]:
    host = site.hosts.get(site.settings.hypervisor)
    if host is None or host.hypervisor is None:
        raise Unsound("mgmt_hypervisor")
    return host, host.hypervisor


def _images(site: Inventory) -> Iterator[Problem]:
    """An image is uploaded to a storage that takes it, and its VM is on a bridge that is declared."""
    host, said = _hypervisor(site)
    takers = sorted(name for name, storage in said.storages.items() if "import" in storage.content)
    for key, template in said.templates.items():
        image = template.__dict__.get("image")
        if image is None:
            continue
        path: KeyPath = ("mgmt_hypervisor", "templates", key, "image")
        if image.storage is None and len(takers) != 1:
            found = "no storage" if takers else "no declared storage with content import"
            yield error(host.at(*path), (*path, "storage"), found=found, expected=one_of(takers))
        elif image.storage is not None and image.storage not in takers:
            at, hint = host.at(*path, "storage"), close_to(image.storage, takers) or "it needs the content import"
            yield error(at, (*path, "storage"), found=shown(image.storage), expected=one_of(takers), hint=hint)
        if image.bridge is not None and image.bridge not in said.bridges:
            at, known = host.at(*path, "bridge"), one_of(said.bridges)
            hint = close_to(image.bridge, said.bridges)
            yield error(at, (*path, "bridge"), found=shown(image.bridge), expected=known, hint=hint)


def _scratch_host(site: Inventory) -> Iterator[Problem]:
    """It must be a host that is no VM yet: while a proof runs, its MAC and its address are in use."""
    name = site.settings.scratch_host
    if name is None:
        return
    path = ("mgmt_site", "scratch_host")
    at = site.at(*path)
    if site.settings.scratch_vmid is None:
        yield error(at, path, found=f"{name!r} without scratch_vmid", expected="scratch_vmid beside it")
    host = site.hosts.get(name)
    if host is None:
        if site.whole:
            found, hint = f"the unknown host {name!r}", close_to(name, site.hosts)
            yield error(at, path, found=found, expected="a host of the site", hint=hint)
        return
    if host.ours:
        yield error(at, path, found=f"{name!r}, which has a part of its own", expected="a host for nothing else")
        return
    claim = next((claim for claim in host.claims if claim.reserved), None)
    if claim is None:
        expected = "an interface with dhcp_reservation, a MAC and an address"
        yield error(host.declared, ("env", "interfaces"), found=f"none of {name}", expected=expected)
        return
    yield from _scratch_nic(site, host, claim)


def _scratch_nic(site: Inventory, host: Host, claim: Claim) -> Iterator[Problem]:
    mac = normal_mac(claim.mac)
    if mac is None or not identity.is_locally_administered(mac):
        path: KeyPath = ("infrastructure", "interfaces", claim.key, "mac")
        expected = "a locally administered MAC, such as 02:de:…: the VM gets it"
        yield error(host.at(*path), path, found=shown(claim.mac), expected=expected)
    _, said = _hypervisor(site)
    served = {name for bridge in said.bridges.values() for name in bridge.segments} - set(lost_segments(site))
    address = parse_address(claim.ip)
    if not any(address in site.sound_segments[name].subnet for name in served & site.sound_segments.keys() if address):
        path = ("env", "interfaces", claim.key, "ip")
        expected = f"an address on a bridge of {site.settings.hypervisor}"
        yield error(host.at(*path), path, found=shown(claim.ip), expected=expected)
