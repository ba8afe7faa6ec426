"""Write Kea's and unbound's own configuration from plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

LEASES_FILE = "/var/lib/kea/kea-leases4.csv"
LIFETIME_S = 4000


@dataclass(frozen=True)
class Reservation:
    mac: str
    address: str
    name: str


@dataclass(frozen=True)
class Subnet:
    """One subnet of Kea's; `options` are DHCP options by Kea's names."""

    id: int
    subnet: str
    pools: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    reservations: tuple[Reservation, ...] = ()
    match_client_id: bool = True


@dataclass(frozen=True)
class Names:
    """What unbound answers: addresses by name, and one name by address."""

    addresses: tuple[tuple[str, str], ...]  # (name, address), in the order they were declared
    pointers: tuple[tuple[str, str], ...]  # (address, name)


def kea_config(nic: str, subnets: Iterable[Subnet]) -> str:
    """Kea checks it as a whole: with two reservations for one address it does not start."""
    served = {
        "interfaces-config": {"interfaces": [nic], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": True, "name": LEASES_FILE, "lfc-interval": 0},
        "valid-lifetime": LIFETIME_S,
        "authoritative": True,
        "subnet4": [_kea_subnet(subnet) for subnet in subnets],
        "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}],
    }
    return json.dumps({"Dhcp4": served}, indent=1)


def _kea_subnet(subnet: Subnet) -> dict[str, Any]:
    return {
        "id": subnet.id,
        "subnet": subnet.subnet,
        "match-client-id": subnet.match_client_id,
        "pools": [{"pool": pool} for pool in subnet.pools],
        "option-data": [{"name": name, "data": data} for name, data in subnet.options.items() if data],
        "reservations": [
            {"hw-address": one.mac, "ip-address": one.address, **({"hostname": one.name} if one.name else {})}
            for one in subnet.reservations
        ],
    }


def unbound_config(address: str, domain: str, networks: Iterable[str], names: Names) -> str:
    """Nothing is asked of anybody else: what is not declared here does not exist."""
    return "".join(f"{line}\n" for line in _unbound_lines(address, domain, networks, names))


def _unbound_lines(address: str, domain: str, networks: Iterable[str], names: Names) -> Iterator[str]:
    yield from (
        "server:",
        "  directory: /etc/unbound",
        "  username: unbound",
        '  chroot: ""',
        "  pidfile: /run/unbound.pid",
    )
    yield from (f"  interface: {address}", "  interface: 127.0.0.1", "  ip-freebind: yes", "  do-ip6: no")
    yield from ("  access-control: 0.0.0.0/0 allow", "  module-config: iterator", "  use-syslog: no", '  logfile: ""')
    yield f'  local-zone: "{domain}" static'
    yield from (f'  local-zone: "{zone}" static' for zone in sorted({_reverse_zone(one) for one in networks}))
    yield from (f'  local-data: "{name} 300 IN A {target}"' for name, target in names.addresses)
    yield from (f'  local-data-ptr: "{target} 300 {name}"' for target, name in names.pointers)
    yield from ("remote-control:", "  control-enable: no")


def _reverse_zone(network: str) -> str:
    """The in-addr.arpa zone that covers the network; zones end at octets."""
    whole = IPv4Network(network)
    octets = str(whole.network_address).split(".")[: whole.prefixlen // 8]
    return ".".join([*reversed(octets), "in-addr.arpa"])


def subnet_of(address: str, networks: Iterable[str]) -> str | None:
    """The network among these that holds the address."""
    return next((network for network in networks if IPv4Address(address) in IPv4Network(network)), None)
