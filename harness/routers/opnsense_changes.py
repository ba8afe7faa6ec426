"""Turn changes into the entries OPNsense shall have, and two sets of entries into the calls between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Literal, TypeVar

from harness.contract import Record, Reservation
from harness.errors import HarnessError, Refused, Unsafe
from harness.routers.opnsense_entries import (
    Entries,
    Fields,
    alias_of,
    full_name,
    is_served,
    plain_mac,
    record_of,
    reservation_of,
)
from harness.routers.port import Changes

T = TypeVar("T", Record, Reservation)
Table = Literal["reservation", "host_override", "host_alias"]
TRIED = "change the router's entries"


@dataclass(frozen=True)
class Step:
    """One call; `key` is the entry's UUID, or our own name for one that is to be made."""

    table: Table
    verb: Literal["add", "set", "del"]
    key: str
    fields: Fields


def changed(now: Entries, changes: Changes, *, on: str, note: str) -> Entries:
    """The entries after the changes; a change keeps what else an entry holds. `note` goes into what is new."""
    reservations = _reservations(now, changes, on, note)
    overrides, aliases = _records(now, changes, on, note)
    return replace(now, reservations=reservations, overrides=overrides, aliases=aliases)


def _reservations(now: Entries, changes: Changes, on: str, note: str) -> dict[str, Fields]:
    seen = {uuid: reservation_of(fields) for uuid, fields in now.reservations.items()}
    removed = _take(seen, changes.remove_reservations, on)
    kept = {uuid: fields for uuid, fields in now.reservations.items() if uuid not in removed}
    for number, wanted in enumerate(changes.add_reservations):
        old = _like(wanted, removed)
        kept[old or f"new reservation {number}"] = {
            **(now.reservations[old] if old else {"description": note}),
            "subnet": _subnet(now, wanted, on),
            "ip_address": str(wanted.address),
            "hw_address": wanted.mac,
            "hostname": wanted.name,
        }
    return kept


def _take(seen: Mapping[str, T], unwanted: Iterable[T], on: str) -> dict[str, T]:
    """The entries that are to go, each once: of two that look the same only as many as are named."""
    found: dict[str, T] = {}
    for value in unwanted:
        uuid = next((uuid for uuid, one in seen.items() if one == value and uuid not in found), None)
        if uuid is None:
            happened = f"{value} is no longer there: somebody else changed the router meanwhile"
            raise HarnessError(tried=TRIED, on=on, happened=happened, do="Run the same command again")
        found[uuid] = value
    return found


def _like(wanted: Reservation, removed: dict[str, Reservation]) -> str | None:
    """The entry that becomes this one, by MAC or by name; it is used up."""
    by_mac = (uuid for uuid, one in removed.items() if one.mac == wanted.mac)
    by_name = (uuid for uuid, one in removed.items() if one.name == wanted.name)
    uuid = next(by_mac, None) or next(by_name, None)
    removed.pop(uuid or "", None)
    return uuid


def _subnet(now: Entries, wanted: Reservation, on: str) -> str:
    uuid = next((uuid for uuid, network in now.subnets.items() if wanted.address in network), None)
    if uuid is None:
        raise Refused(
            tried=f"reserve {wanted.address} for {wanted.name}",
            on=on,
            happened="none of Kea's subnets holds this address",
            do="Add its subnet in Services: Kea DHCP: Kea DHCPv4: Subnets (a subnet without pools is enough)",
        )
    return uuid


def _records(now: Entries, changes: Changes, on: str, note: str) -> tuple[dict[str, Fields], dict[str, Fields]]:
    seen_hosts = {uuid: record_of(fields) for uuid, fields in now.overrides.items() if is_served(fields)}
    seen_aliases = {
        uuid: alias_of(fields, parent)
        for uuid, fields in now.aliases.items()
        if is_served(fields) and (parent := now.overrides.get(fields["host"])) is not None and is_served(parent)
    }
    gone_hosts = _take(seen_hosts, (one for one in changes.remove_records if one.type == "A"), on)
    gone_aliases = _take(seen_aliases, (one for one in changes.remove_records if one.type == "CNAME"), on)
    hosts = {uuid: fields for uuid, fields in now.overrides.items() if uuid not in gone_hosts}
    aliases = {uuid: fields for uuid, fields in now.aliases.items() if uuid not in gone_aliases}
    for number, record in enumerate(one for one in changes.add_records if one.type == "A"):
        old = next((uuid for uuid, one in gone_hosts.items() if one.name == record.name), None)
        gone_hosts.pop(old or "", None)
        made = {**_new_name(record.name, note), "rr": "A"} if old is None else now.overrides[old]
        hosts[old or f"new override {number}"] = {**made, "server": record.target}
    parents = {full_name(fields): uuid for uuid, fields in reversed(hosts.items()) if is_served(fields)}
    # An alias ends with its override, so those of one that goes move to what is left under that name.
    for uuid, fields in aliases.items():
        if fields["host"] in gone_hosts:
            aliases[uuid] = {**fields, "host": _parent(parents, seen_aliases.get(uuid), gone_hosts[fields["host"]], on)}
    for number, record in enumerate(one for one in changes.add_records if one.type == "CNAME"):
        old = next((uuid for uuid, one in gone_aliases.items() if one.name == record.name), None)
        gone_aliases.pop(old or "", None)
        made = _new_name(record.name, note) if old is None else now.aliases[old]
        aliases[old or f"new alias {number}"] = {**made, "host": _target(parents, record, on)}
    return hosts, aliases


def _new_name(name: str, note: str) -> dict[str, str]:
    hostname, _, domain = name.partition(".")
    return {"enabled": "1", "hostname": hostname, "domain": domain, "description": note}


def _parent(parents: Mapping[str, str], alias: Record | None, gone: Record, on: str) -> str:
    if gone.name not in parents:
        name = alias.name if alias else "an alias that is disabled"
        raise Unsafe(
            tried=f"remove the host override {gone.name}",
            on=on,
            happened=f"{name} is an alias of it, would go with it, and is not to be removed",
            do="Remove that alias or give it another override (Services: Unbound DNS: Overrides)",
        )
    return parents[gone.name]


def _target(parents: Mapping[str, str], alias: Record, on: str) -> str:
    if alias.target not in parents:
        raise Refused(
            tried=f"make {alias.name} an alias of {alias.target}",
            on=on,
            happened=f"{alias.target} is no host override there, and an alias needs one",
            do="Declare dns.host_a_record for the host the alias points to",
        )
    return parents[alias.target]


def steps(now: Entries, wanted: Entries) -> list[Step]:
    """The calls from the one to the other, in an order in which each is allowed."""
    return [*_reservation_steps(now.reservations, wanted.reservations), *_record_steps(now, wanted)]


def touches_dhcp(made: Iterable[Step]) -> bool:
    return any(step.table == "reservation" for step in made)


def touches_dns(made: Iterable[Step]) -> bool:
    return any(step.table != "reservation" for step in made)


def _reservation_steps(now: Mapping[str, Fields], wanted: Mapping[str, Fields]) -> Iterator[Step]:
    """OPNsense refuses a second reservation for an address or a MAC, even for a moment: one in the way goes first."""
    differing = {uuid for uuid in now.keys() & wanted.keys() if now[uuid] != wanted[uuid]}
    blocked = {uuid for uuid in differing if any(_collide(wanted[uuid], now[one]) for one in now if one != uuid)}
    gone = [uuid for uuid in now if uuid not in wanted or uuid in blocked]
    yield from (Step("reservation", "del", uuid, {}) for uuid in gone)
    for uuid in now:
        if uuid in differing - blocked:
            yield Step("reservation", "set", uuid, _difference(now[uuid], wanted[uuid]))
    for key, fields in wanted.items():
        if key not in now or key in blocked:
            yield Step("reservation", "add", key, fields)


def _collide(one: Fields, other: Fields) -> bool:
    same_mac = plain_mac(one["hw_address"]) == plain_mac(other.get("hw_address", ""))
    return IPv4Address(one["ip_address"]) == IPv4Address(other["ip_address"]) or same_mac


def _record_steps(now: Entries, wanted: Entries) -> Iterator[Step]:
    """Overrides come before the aliases that need them, and go after those that leave them."""
    yield from _made("host_override", now.overrides, wanted.overrides)
    yield from _made("host_alias", now.aliases, wanted.aliases)
    yield from (Step("host_alias", "del", uuid, {}) for uuid in now.aliases if uuid not in wanted.aliases)
    yield from (Step("host_override", "del", uuid, {}) for uuid in now.overrides if uuid not in wanted.overrides)


def _made(table: Table, now: Mapping[str, Fields], wanted: Mapping[str, Fields]) -> Iterator[Step]:
    for key, fields in wanted.items():
        if key not in now:
            yield Step(table, "add", key, fields)
        elif now[key] != fields:
            yield Step(table, "set", key, _difference(now[key], fields))


def _difference(now: Fields, wanted: Fields) -> Fields:
    return {name: value for name, value in wanted.items() if now.get(name) != value}
