"""What must hold for the declared services: each belongs to a responsibility, and none does the core router's work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from harness.inventory.models import RESPONSIBILITIES
from harness.inventory.problems import KeyPath, Problem, error, shown
from harness.inventory.site import Inventory
from harness.inventory.typed import close_to, one_of
from harness.inventory.workload_models import Service

_CORE_UNITS = re.compile(
    r"^(dnsmasq|named|bind9|unbound|pdns|pdns-recursor|knot|nsd|coredns|isc-dhcp-server|dhcpd|kea-dhcp\S*|frr|bird|radvd)"
    r"(@.*)?\.(service|socket)$"
)
_CORE_PORTS = frozenset({53, 67, 547})
CORE_EXPECTED = "no core network service on a VM"
CORE_HINT = "DNS, DHCP, NAT and routing stay on the core router"


def workload_problems(site: Inventory) -> Iterator[Problem]:
    for name, workload in site.workloads.items():
        path = ("mgmt_workloads", name)
        if name not in RESPONSIBILITIES:
            found, hint = f"the unknown responsibility {name!r}", close_to(name, RESPONSIBILITIES)
            yield error(site.at(*path), path, found=found, expected=one_of(RESPONSIBILITIES), hint=hint)
        for key, found in core_services(workload.services):
            at = (*path, "services", *key)
            yield error(site.at(*at), at, found=found, expected=CORE_EXPECTED, hint=CORE_HINT)


def core_services(services: Iterable[Service]) -> Iterator[tuple[KeyPath, str]]:
    """Where a service does the core router's work, and by what that is seen."""
    for place, service in enumerate(services):
        if _CORE_UNITS.match(service.unit):
            yield (place, "unit"), shown(service.unit)
        elif ports := sorted(_CORE_PORTS & set(service.ports)):
            yield (place, "ports"), f"port {ports[0]}"
        elif ports := sorted(_CORE_PORTS & set(service.udp_ports)):
            yield (place, "udp_ports"), f"port {ports[0]}"
