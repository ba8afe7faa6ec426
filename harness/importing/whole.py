"""The files of a site that no inventory has yet, beside those of its machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.importing.found import Found
from harness.importing.known import DEFAULT_ROLES, Known
from harness.importing.machine import SEGMENT, name_of
from harness.importing.newcomers import place_of
from harness.importing.writing import Document, Gap, noted

ROUTER = "core-rt01"


def site_documents(found: Found, known: Known) -> Iterator[Document]:
    yield _hosts(found, known)
    yield _main(found, known)
    yield _segments(found, known)
    yield _settings(found, known)
    yield _namespace(known)
    yield _defaults(found, known)
    yield _router(found, known)


def hosts_of(found: Found, known: Known) -> dict[str, Any]:
    """The VMs by category; those of which nothing tells it stand in the group above."""
    groups: dict[str, dict[str, Any]] = {}
    for vm in found.vms:
        groups.setdefault(place_of(vm, known).category or "", {})[name_of(vm)] = {}
    children = {name: {"hosts": hosts} for name, hosts in sorted(groups.items()) if name}
    loose = {"hosts": groups[""]} if "" in groups else {}
    return {**loose, **({"children": children} if children else {})}


def _hosts(found: Found, known: Known) -> Document:
    groups = {
        "routers": {"hosts": {ROUTER: {}}},
        "hypervisors": {"hosts": {found.node.name: {}}},
        "management_vms": hosts_of(found, known),
    }
    return Document(known.path("hosts.yml"), {"all": {"children": groups}})


def _main(found: Found, known: Known) -> Document:
    substrate, _, root = (found.domain or "").partition(".")
    content = {
        "deevnet_root_domain": root or Gap("the domain of all sites"),
        "deevnet_substrate": substrate if root else Gap("the site's part of the domain"),
    }
    return Document(known.path("group_vars", "all", "main.yml"), content)


def _segments(found: Found, known: Known) -> Document:
    home = found.home
    address = home.address if home else None
    gateway = home.gateway if home else None
    segment = {
        "subnet": str(address.network) if address else Gap("the subnet, such as 10.20.99.0/24"),
        "gateway": str(gateway) if gateway else Gap("the core router's address in it"),
    }
    return Document(known.path("group_vars", "all", "vlans.yml"), {"deevnet_vlans": {SEGMENT: segment}})


def _settings(found: Found, known: Known) -> Document:
    settings = {
        "status": "active",
        "authority": noted("core", "bootstrap while the core router itself is being rebuilt"),
        "core_router": noted(ROUTER, "a name that was made up: rename the host where it has another"),
        "hypervisor": found.node.name,
    }
    return Document(known.path("group_vars", "all", "mgmt.yml"), {"mgmt_site": settings})


def _namespace(known: Known) -> Document:
    shared = known.namespace
    content = {
        "prefix": shared.prefix if shared else "02:de",
        "environment": Gap("two hex digits in quotes, which no other site has"),
        "roles": dict(shared.roles) if shared else DEFAULT_ROLES,
        "groups": dict(shared.groups) if shared else Gap("two hex digits for each service group, as {metrics: '01'}"),
    }
    return Document(known.path("group_vars", "all", "mac_namespace.yml"), {"mgmt_mac_namespace": content})


def _defaults(found: Found, known: Known) -> Document:
    user = Gap("the automation user in the image")
    content = {"mgmt_vm_defaults": {"hypervisor": found.node.name, "ssh": {"user": user}}}
    return Document(known.path("group_vars", "management_vms", "vm.yml"), content)


def _router(found: Found, known: Known) -> Document:
    gateway = found.home.gateway if found.home else None
    address = str(gateway) if gateway else Gap("the core router's address")
    dns = {"host_a_record": True, "dhcp_reservation": False}
    bound = {"ip": address, "purpose": "lan", "segment": SEGMENT, "ansible": True, "dns": dns}
    content = {
        "infrastructure": {"form": "rt", "interfaces": {"eth0": {"mac": "UNKNOWN"}}},
        "env": {"role": "core", "interfaces": {"eth0": bound}},
        "mgmt_router": {"kind": Gap("opnsense, vyos or dnsmasq")},
    }
    return Document(known.path("host_vars", f"{ROUTER}.yml"), content)
