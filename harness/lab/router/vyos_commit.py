"""What VyOS checks when it commits, and what its DHCP and DNS servers are given then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from .daemons import Names, Reservation, Subnet, kea_config, subnet_of, unbound_config
from .seed import Seed
from .services import KEA, UNBOUND
from .vyos_tree import ConfigError, Release, Tree, find, set_path

DHCP = ("service", "dhcp-server")
HOSTS = ("system", "static-host-mapping", "host-name")
NETWORK = "LAB"


def first_tree(seed: Seed, release: Release) -> Tree:
    """The configuration of an administrator who entered the seed."""
    tree: Tree = {}
    mac_leaf = "mac" if release == "1.5" else "mac-address"
    for number, subnet in enumerate(seed.subnets, 1):
        base = [*DHCP, "shared-network-name", NETWORK, "subnet", subnet.subnet]
        options = [*base, "option"] if release == "1.5" else base
        if release == "1.5":
            set_path(tree, [*base, "subnet-id", str(number)])
        set_path(tree, [*options, "default-router", subnet.gateway])
        set_path(tree, [*options, "name-server", seed.address])
        set_path(tree, [*options, "domain-search", seed.domain])
        for leaf, address in zip(("start", "stop"), subnet.pool or (), strict=False):
            set_path(tree, [*base, "range", "0", leaf, address])
    for one in seed.reservations:
        network = subnet_of(one.address, (subnet.subnet for subnet in seed.subnets))
        mapping = [*DHCP, "shared-network-name", NETWORK, "subnet", network or "", "static-mapping", one.name]
        set_path(tree, [*mapping, mac_leaf, one.mac])
        set_path(tree, [*mapping, "ip-address", one.address])
    for record in seed.records:
        path = [record.name, "inet", record.target] if record.type == "A" else [record.target, "alias", record.name]
        set_path(tree, [*HOSTS, *path])
    forwarding = ["service", "dns", "forwarding"]
    set_path(tree, [*forwarding, "listen-address", seed.address])
    for subnet in seed.subnets:
        set_path(tree, [*forwarding, "allow-from", subnet.subnet])
    return tree


def check(tree: Tree, release: Release) -> None:
    """ConfigError with the first thing that keeps this configuration from being committed."""
    for shared, network, subnet in _subnets(tree):
        if release == "1.5" and not find(subnet, ["subnet-id"]):
            raise ConfigError(f'Unique subnet ID not specified for subnet "{network}"')
        if not subnet.get("range") and not subnet.get("static-mapping"):
            raise ConfigError(
                "No DHCP address range or active static-mapping configured within shared-network "
                f'"{shared}, {network}"!'
            )
        _check_mappings(network, subnet, release)
    for name, host in (find(tree, HOSTS) or {}).items():
        if not host.get("inet"):
            raise ConfigError(f'IP address is required for static-host-mapping host-name "{name}"')


def _check_mappings(network: str, subnet: Tree, release: Release) -> None:
    identifier = "mac" if release == "1.5" else "mac-address"
    taken: dict[str, set[str]] = {"IP": set(), "MAC": set()}
    for name, mapping in subnet.get("static-mapping", {}).items():
        address, mac = _value(mapping, "ip-address"), _value(mapping, identifier)
        if address and IPv4Address(address) not in IPv4Network(network):
            raise ConfigError(f'Configured static lease address for mapping "{name}" is not within subnet "{network}"!')
        if not mac and not (release == "1.5" and _value(mapping, "duid")):
            what = "Either MAC address or Client identifier (DUID)" if release == "1.5" else "MAC address"
            raise ConfigError(
                f'{what} is required for static mapping "{name}" within shared-network "{NETWORK}, {network}"!'
            )
        for what, value in (("IP", address), ("MAC", mac.lower())):
            if value and value in taken[what]:
                raise ConfigError(
                    f'Configured {what} address for static mapping "{name}" already exists on another static mapping'
                )
            taken[what].add(value)


def _subnets(tree: Tree) -> Iterator[tuple[str, str, Tree]]:
    for name, shared in (find(tree, [*DHCP, "shared-network-name"]) or {}).items():
        for network, subnet in shared.get("subnet", {}).items():
            yield name, network, subnet


def _value(node: Mapping[str, Any], leaf: str) -> str:
    return next(iter(node.get(leaf, {})), "")


def daemon_files(tree: Tree, seed: Seed) -> dict[str, str]:
    """Each daemon's configuration."""
    served = [_served(number, network, subnet) for number, (_, network, subnet) in enumerate(_subnets(tree), 1)]
    networks = [subnet.subnet for subnet in served]
    return {
        KEA: kea_config(seed.nic, served),
        UNBOUND: unbound_config(seed.address, seed.domain, networks, _names(tree)),
    }


def _served(number: int, network: str, subnet: Tree) -> Subnet:
    options = subnet.get("option", subnet)  # 1.4 keeps them beside the rest
    ranges = [(_value(one, "start"), _value(one, "stop")) for one in subnet.get("range", {}).values()]
    mappings = {name: one for name, one in subnet.get("static-mapping", {}).items() if "disable" not in one}
    return Subnet(
        id=int(_value(subnet, "subnet-id") or number),
        subnet=network,
        pools=tuple(f"{first} - {last}" for first, last in ranges),
        options={
            "routers": _value(options, "default-router"),
            "domain-name-servers": ", ".join(options.get("name-server", {})),
            "domain-search": ", ".join(options.get("domain-search", {})),
        },
        reservations=tuple(
            Reservation(_value(one, "mac") or _value(one, "mac-address"), _value(one, "ip-address"), name)
            for name, one in mappings.items()
        ),
    )


def _names(tree: Tree) -> Names:
    """As a hosts file is served: every name has the addresses, and the first name of an address is its PTR."""
    addresses: list[tuple[str, str]] = []
    pointers: dict[str, str] = {}
    for name, host in (find(tree, HOSTS) or {}).items():
        for address in host.get("inet", {}):
            addresses += [(each, address) for each in (name, *host.get("alias", {}))]
            pointers.setdefault(address, name)
    return Names(tuple(addresses), tuple(pointers.items()))
