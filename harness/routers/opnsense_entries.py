"""What OPNsense's grids hold as plain entries, whatever release shows them, and what they say to a client. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from harness.contract import Mac, Record, Reservation
from harness.routers.observed import Lease

Row = Mapping[str, Any]
Fields = Mapping[str, Any]
ACTIVE = "0"
FOR_EVER_S = 0xFFFFFFFF


@dataclass(frozen=True)
class Entries:
    """By UUID; relations hold UUIDs. An entry that is to be made has a key of ours."""

    subnets: Mapping[str, IPv4Network]
    reservations: Mapping[str, Fields]
    overrides: Mapping[str, Fields]
    aliases: Mapping[str, Fields]


def parse_entries(
    *, subnets: Iterable[Row], reservations: Iterable[Row], overrides: Iterable[Row], aliases: Iterable[Row]
) -> Entries:
    """Grids show a relation's UUID, or (24.x) only its label: a subnet's CIDR, an override's name."""
    networks = {str(row["uuid"]): IPv4Network(row["subnet"]) for row in subnets}
    hosts = {str(row["uuid"]): {**_fields(row), "rr": str(row.get("rr", "A")).partition(" ")[0]} for row in overrides}
    by_cidr = {str(network): uuid for uuid, network in networks.items()}
    by_name: dict[str, list[str]] = {}
    for uuid, fields in hosts.items():
        by_name.setdefault(full_name(fields), []).append(uuid)
    return Entries(
        subnets=networks,
        reservations={
            str(row["uuid"]): {**_fields(row), "subnet": by_cidr.get(str(row["subnet"]), str(row["subnet"]))}
            for row in reservations
        },
        overrides=hosts,
        aliases={str(row["uuid"]): {**_fields(row), "host": _parent(row, hosts, by_name)} for row in aliases},
    )


def _fields(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "uuid" and not name.startswith("%")}


def _parent(row: Row, hosts: Mapping[str, Fields], by_name: Mapping[str, Sequence[str]]) -> str:
    """The UUID of an alias's override; of several with one name it is the caller's to find out which."""
    said = str(row["host"])
    if said in hosts:
        return said
    found = by_name.get(plain_name(said), ())
    return found[0] if len(found) == 1 else ""


def full_name(fields: Fields) -> str:
    return plain_name(".".join(part for part in (str(fields["hostname"]), str(fields["domain"])) if part))


def plain_name(text: str) -> str:
    return text.rstrip(".").lower()


def plain_mac(text: str) -> Mac:
    """aa:bb:… of any notation OPNsense accepts; what is no MAC stays as it is."""
    digits = re.sub(r"[:.-]", "", text).lower()
    is_mac = re.fullmatch(r"[0-9a-f]{12}", digits) is not None
    return Mac(":".join(digits[at : at + 2] for at in range(0, 12, 2)) if is_mac else text)


def reservation_of(fields: Fields) -> Reservation:
    """A reservation by client identifier has no MAC."""
    address = IPv4Address(str(fields["ip_address"]))
    return Reservation(plain_mac(str(fields.get("hw_address", ""))), address, str(fields.get("hostname", "")))


def record_of(fields: Fields) -> Record:
    return Record("A", full_name(fields), str(fields["server"]))


def alias_of(fields: Fields, parent: Fields) -> Record:
    """Served with its parent's address; what it leaves empty it has from its parent."""
    inherited = {name: fields.get(name) or parent[name] for name in ("hostname", "domain")}
    return Record("CNAME", full_name(inherited), full_name(parent))


def is_served(fields: Fields) -> bool:
    return str(fields.get("enabled", "1")) == "1" and fields.get("rr", "A") == "A"


def records_of(entries: Entries) -> Iterator[Record]:
    """What Unbound answers with an address; a disabled override is nobody's."""
    for fields in entries.overrides.values():
        if is_served(fields):
            yield record_of(fields)
    for fields in entries.aliases.values():
        parent = entries.overrides.get(fields["host"])
        if parent is not None and is_served(fields) and is_served(parent):
            yield alias_of(fields, parent)


def leases_of(rows: Iterable[Row], *, now: float) -> Iterator[Lease]:
    """Those that count: declined, reclaimed and expired ones are still shown for a while."""
    for row in rows:
        expires = int(row.get("expire") or 0)
        for_ever = expires == 0 or int(row.get("valid_lifetime") or 0) == FOR_EVER_S
        if str(row.get("state", ACTIVE)) == ACTIVE and (for_ever or expires > now):
            name = str(row.get("hostname") or "").rstrip(".")
            yield Lease(
                mac=plain_mac(str(row["hwaddr"])),
                address=str(row["address"]),
                name=name or None,
                expires_at=None if for_ever else expires,
                client_id=str(row.get("client_id") or "") or None,
            )


def collapsed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A record from `get` as `set` wants it: of an option field the selected keys."""
    return {name: _collapsed(value) for name, value in fields.items()}


def _collapsed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(isinstance(one, dict) and "selected" in one for one in value.values()):
        return ",".join(key for key, one in value.items() if str(one["selected"]) in {"1", "True"})
    return collapsed(value)
