"""A VyOS configuration as its API shows it: what it serves, what it should be, and the commands in between. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal

from harness.contract import Mac, Record, Reservation, VyosRelease
from harness.errors import HarnessError, Refused, Unsafe
from harness.routers.port import Changes

DHCP = ("service", "dhcp-server")
NAMES = ("system", "static-host-mapping")
ZONES = ("service", "dns", "forwarding", "authoritative-domain")
# The same thing, spelled for ISC's server and for Kea.
MAC_LEAF: Mapping[VyosRelease, str] = {"1.4": "mac-address", "1.5": "mac"}
TRIED = "change the router's configuration"

# Nodes and tags are mappings; a leaf is its value, a list of values, or an empty mapping where it has none.
Node = dict[str, Any]


@dataclass(frozen=True)
class Command:
    op: Literal["set", "delete"]
    path: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.op, *self.path))


@dataclass(frozen=True)
class Config:
    """The parts of the configuration that DHCP and DNS are in, each as it stands below its path."""

    dhcp: Node
    names: Node
    zones: Node  # by domain


def parse_config(dhcp: Node, names: Node, zones: Node) -> Config:
    """Of a leaf with several values VyOS keeps an order that means nothing."""
    return Config(_sorted(dhcp), _sorted(names), _sorted(zones))


def _sorted(node: Node) -> Node:
    return {
        key: _sorted(one) if isinstance(one, dict) else one if isinstance(one, str) else sorted(one)
        for key, one in node.items()
    }


@dataclass(frozen=True)
class _Place:
    """Where a static mapping stands."""

    network: str  # shared-network-name
    subnet: str
    name: str


def reservations_of(config: Config) -> list[Reservation]:
    return [value for _, value in _mappings(config.dhcp)]


def _mappings(dhcp: Node) -> Iterator[tuple[_Place, Reservation]]:
    """Each static mapping that is served; one by DUID has no MAC, one without an address reserves nothing."""
    for network, subnet, node in _subnets(dhcp):
        for name, mapping in node.get("static-mapping", {}).items():
            if "ip-address" in mapping and "disable" not in mapping:
                mac = str(mapping.get("mac") or mapping.get("mac-address") or "").lower()
                yield _Place(network, subnet, name), Reservation(Mac(mac), IPv4Address(mapping["ip-address"]), name)


def _subnets(dhcp: Node) -> Iterator[tuple[str, str, Node]]:
    for network, shared in dhcp.get("shared-network-name", {}).items():
        for subnet, node in shared.get("subnet", {}).items():
            yield network, subnet, node


def records_of(config: Config) -> list[Record]:
    """Names of the hosts file, whose aliases are addresses, too; then those of the zones it serves itself."""
    return [*_hosts_records(config.names), *_zone_records(config.zones)]


def _hosts_records(names: Node) -> Iterator[Record]:
    for name, host in names.get("host-name", {}).items():
        addresses = (address for address in values(host, "inet") if ":" not in address)
        yield from (Record("A", plain_name(name), address) for address in addresses)
        yield from (Record("CNAME", plain_name(alias), plain_name(name)) for alias in values(host, "alias"))


def _zone_records(zones: Node) -> Iterator[Record]:
    for domain, zone in zones.items():
        records = zone.get("records", {})
        for name, node in records.get("a", {}).items():
            yield from (Record("A", _in_zone(name, domain), address) for address in values(node, "address"))
        for name, node in records.get("cname", {}).items():
            yield Record("CNAME", _in_zone(name, domain), plain_name(str(node.get("target", ""))))


def _in_zone(name: str, domain: str) -> str:
    return plain_name(domain if name == "@" else f"{name}.{domain}")


def plain_name(text: str) -> str:
    return text.rstrip(".").lower()


def values(node: Node, leaf: str) -> list[str]:
    """Of one value the API shows the text, of more a list."""
    said = node.get(leaf, [])
    return [str(said)] if isinstance(said, str) else [str(one) for one in said]


# --- What it should be ----------------------------------------------------------------------------------------------


def changed(config: Config, changes: Changes, release: VyosRelease, *, on: str) -> Config:
    """The configuration after the changes; a mapping that changes keeps what else it holds."""
    made = copy.deepcopy(config)
    old = _take_mappings(made.dhcp, changes.remove_reservations, on)
    for wanted in changes.add_reservations:
        _add_mapping(made.dhcp, wanted, old, release, on)
    _take_records(made, changes.remove_records, on)
    for record in sorted(changes.add_records, key=lambda one: one.type):  # an alias needs its host
        _add_record(made.names, record, on)
    _drop_empty_hosts(made.names, on)
    return made


def _take_mappings(dhcp: Node, unwanted: Sequence[Reservation], on: str) -> dict[str, Node]:
    """Take out what is to go; returned by name, for whoever gets that name again."""
    taken: dict[str, Node] = {}
    for value in unwanted:
        place = next((place for place, one in _mappings(dhcp) if one == value), None)
        if place is None:
            raise _gone(value, on)
        subnet = dhcp["shared-network-name"][place.network]["subnet"][place.subnet]
        taken[place.name] = subnet["static-mapping"].pop(place.name)
        if not subnet["static-mapping"]:
            del subnet["static-mapping"]
    return taken


def _add_mapping(dhcp: Node, wanted: Reservation, old: Mapping[str, Node], release: VyosRelease, on: str) -> None:
    subnet = next((node for _, network, node in _subnets(dhcp) if wanted.address in IPv4Network(network)), None)
    if subnet is None:
        raise Refused(
            tried=f"reserve {wanted.address} for {wanted.name}",
            on=on,
            happened="no subnet of its DHCP server holds this address",
            do="Add it: set service dhcp-server shared-network-name NAME subnet CIDR"
            + (" subnet-id NUMBER" if release == "1.5" else ""),
        )
    mappings = subnet.setdefault("static-mapping", {})
    if wanted.name in mappings:
        raise Unsafe(
            tried=f"reserve {wanted.address} for {wanted.name}",
            on=on,
            happened=f"there is a static mapping {wanted.name} already that is disabled or is not to be changed",
            do="Remove it there by hand, or rename the host",
        )
    kept = {
        leaf: value for leaf, value in old.get(wanted.name, {}).items() if leaf not in {"mac", "mac-address", "duid"}
    }
    mappings[wanted.name] = {**kept, MAC_LEAF[release]: wanted.mac, "ip-address": str(wanted.address)}


def _take_records(config: Config, unwanted: Sequence[Record], on: str) -> None:
    for record in unwanted:
        taken = _take_from_hosts(config.names, record) or _take_from_zones(config.zones, record)
        if not taken:
            raise _gone(record, on)


def _take_from_hosts(names: Node, record: Record) -> bool:
    owner = record.name if record.type == "A" else record.target
    leaf, value = ("inet", record.target) if record.type == "A" else ("alias", record.name)
    for name, host in names.get("host-name", {}).items():
        found = next((one for one in values(host, leaf) if plain_name(one) == value), None)
        if plain_name(name) == owner and found is not None:
            _put(host, leaf, [one for one in values(host, leaf) if one != found])
            return True
    return False


def _take_from_zones(zones: Node, record: Record) -> bool:
    kind, leaf = ("a", "address") if record.type == "A" else ("cname", "target")
    for domain, zone in zones.items():
        named = zone.get("records", {}).get(kind, {})
        for name, node in named.items():
            found = next((one for one in values(node, leaf) if plain_name(one) == record.target), None)
            if _in_zone(name, domain) == record.name and found is not None:
                _put(node, leaf, [one for one in values(node, leaf) if one != found])
                if not node.get(leaf):
                    del named[name]
                return True
    return False


def _add_record(names: Node, record: Record, on: str) -> None:
    hosts = names.setdefault("host-name", {})
    owner = record.name if record.type == "A" else record.target
    name = next((name for name in hosts if plain_name(name) == owner), owner)
    if record.type == "A":
        host = hosts.setdefault(name, {})
        _put(host, "inet", [*values(host, "inet"), record.target])
    elif not values(hosts.get(name, {}), "inet"):
        raise Refused(
            tried=f"make {record.name} an alias of {record.target}",
            on=on,
            happened=f"{record.target} has no address there, and an alias needs one",
            do="Declare dns.host_a_record for the host the alias points to",
        )
    else:
        _put(hosts[name], "alias", [*values(hosts[name], "alias"), record.name])


def _put(node: Node, leaf: str, kept: Sequence[str]) -> None:
    if kept:
        node[leaf] = kept[0] if len(kept) == 1 else list(kept)
    else:
        node.pop(leaf, None)


def _drop_empty_hosts(names: Node, on: str) -> None:
    """A host without an address cannot stay, and its aliases would go with it."""
    hosts = names.get("host-name", {})
    for name in [name for name, host in hosts.items() if not values(host, "inet")]:
        aliases = values(hosts[name], "alias")
        if aliases:
            raise Unsafe(
                tried=f"remove the host mapping {name}",
                on=on,
                happened=f"{', '.join(aliases)} is an alias of it, would go with it, and is not to be removed",
                do="Remove that alias there, or declare its host",
            )
        del hosts[name]


def _gone(value: Reservation | Record, on: str) -> HarnessError:
    happened = f"{value} is no longer there: somebody else changed the router meanwhile"
    return HarnessError(tried=TRIED, on=on, happened=happened, do="Run the same command again")


# --- The commands in between ----------------------------------------------------------------------------------------


def commands(now: Config, wanted: Config) -> list[Command]:
    """One commit's worth: what goes, then what comes."""
    pairs = ((DHCP, now.dhcp, wanted.dhcp), (NAMES, now.names, wanted.names), (ZONES, now.zones, wanted.zones))
    found = [command for path, before, after in pairs for command in _between(path, before, after)]
    return sorted(found, key=lambda command: command.op)  # delete, set; each in its order


def _between(path: tuple[str, ...], now: Node, wanted: Node) -> Iterator[Command]:
    for key, before in now.items():
        here, after = (*path, key), wanted.get(key)
        if after is None:
            yield Command("delete", here)
        elif isinstance(before, dict) and isinstance(after, dict):
            yield from _between(here, before, after)
        elif before != after:
            gone = [one for one in values(now, key) if one not in values(wanted, key)]
            # A leaf with one value is replaced by its new one, whether it may have more or not.
            yield from (Command("delete", (*here, one)) for one in gone)
            yield from (Command("set", (*here, one)) for one in values(wanted, key) if one not in values(now, key))
    for key in (key for key in wanted if key not in now):
        yield from _all((*path, key), wanted[key])


def _all(path: tuple[str, ...], node: Any) -> Iterator[Command]:
    if isinstance(node, dict) and node:
        for key, below in node.items():
            yield from _all((*path, key), below)
    elif isinstance(node, list):
        yield from (Command("set", (*path, str(one))) for one in node)
    else:
        yield Command("set", path if isinstance(node, dict) else (*path, str(node)))
