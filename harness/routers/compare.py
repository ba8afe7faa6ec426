"""Compare what the inventory declares with what its router holds: every difference, and the changes that mend it. Pure.

An entry is the inventory's when its MAC or its name is declared there, or its address together with its name. All else
is somebody's own: it is never changed, and where it holds a declared address it stands in the way and is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from typing import Literal

from harness.contract import Contract, Declared, Record, Reservation, Segment
from harness.routers.observed import Lease, ObservedRouter
from harness.routers.port import Changes

Kind = Literal["missing", "wrong", "duplicate", "foreign", "dangling", "lease", "stranger"]
APPLY = "router.apply"


@dataclass(frozen=True)
class Difference:
    """One thing on which inventory and router disagree; `host` is the declared host it is about.

    While one that `stops` is there, nothing is written.
    """

    kind: Kind
    about: Literal["reservation", "record", "lease"]
    host: str | None
    what: str
    expected: str
    seen: str
    declared: Declared | None
    do: str
    stops: bool = False

    def __str__(self) -> str:
        where = f" Declared at {self.declared}." if self.declared else ""
        return f"{self.what}: expected {self.expected}, seen {self.seen}.{where} Next: {self.do}"


@dataclass(frozen=True)
class Comparison:
    """How the router stands against the inventory; `changes` mend what is the inventory's."""

    differences: tuple[Difference, ...]
    changes: Changes

    @property
    def stops(self) -> tuple[Difference, ...]:
        return tuple(one for one in self.differences if one.stops)

    @property
    def changes_nothing(self) -> bool:
        changes = self.changes
        lists = (changes.remove_reservations, changes.add_reservations, changes.remove_records, changes.add_records)
        return not any(lists)

    def reservations_of(self, hosts: Iterable[str]) -> tuple[Difference, ...]:
        """What keeps these hosts from being given their address."""
        wanted = set(hosts)
        return tuple(one for one in self.differences if one.about != "record" and one.host in wanted)


@dataclass
class _Found:
    contract: Contract
    differences: list[Difference] = field(default_factory=list)
    remove_reservations: list[Reservation] = field(default_factory=list)
    add_reservations: list[Reservation] = field(default_factory=list)
    remove_records: list[Record] = field(default_factory=list)
    add_records: list[Record] = field(default_factory=list)

    @property
    def by_hand(self) -> str:
        return f"Remove it on {self.contract.router.name} by hand, or declare it in the inventory"


def compare(contract: Contract, seen: ObservedRouter, *, now: float) -> Comparison:
    """`now` is seconds since the epoch: a lease that has ended holds nothing."""
    found = _Found(contract)
    _compare_reservations(found, seen.reservations)
    _compare_records(found, seen.records)
    alive = [lease for lease in seen.leases if lease.expires_at is None or lease.expires_at > now]
    found.differences += _compare_leases(contract, alive, {one.mac for one in seen.reservations})
    changes = Changes(
        tuple(found.remove_reservations),
        tuple(found.add_reservations),
        tuple(found.remove_records),
        tuple(found.add_records),
    )
    return Comparison(tuple(found.differences), changes)


# --- reservations ------------------------------------------------------------------------------------------------


def _compare_reservations(found: _Found, held: Iterable[Reservation]) -> None:
    contract = found.contract
    declared = contract.reservations
    ours: dict[Reservation, list[Reservation]] = {want: [] for want in declared}
    foreign: list[Reservation] = []
    owner_of = _owners(contract)
    for one in held:
        owner = owner_of(one)
        (foreign if owner is None else ours[owner]).append(one)
    for want, entries in ours.items():
        _judge_reservation(found, want, entries)
    found.differences += _foreign_reservations(found, foreign)


def _owners(contract: Contract) -> Callable[[Reservation], Reservation | None]:
    """Which declared reservation an entry of the router is to be; None for somebody else's."""
    by_mac = {one.mac: one for one in contract.reservations}
    by_name = {one.name: one for one in contract.reservations}
    return lambda entry: by_mac.get(entry.mac) or by_name.get(short_name(entry.name, contract.domain))


def _judge_reservation(found: _Found, want: Reservation, entries: list[Reservation]) -> None:
    right = [one for one in entries if _same(one, want, found.contract.domain)]
    if len(right) == 1 and len(entries) == 1:
        return
    extra = [*right[1:], *(one for one in entries if one not in right)] if right else entries
    found.remove_reservations += extra
    if not right:
        found.add_reservations.append(want)
    kind: Kind = "duplicate" if right or len(entries) > 1 else "wrong" if entries else "missing"
    found.differences.append(
        Difference(
            kind,
            "reservation",
            want.name,
            f"reservation of {want.name} on {found.contract.router.name}",
            said(want) + (", once" if kind == "duplicate" else ""),
            "; ".join(map(said, entries)) or "nothing",
            want.declared,
            found.contract.invoke(APPLY),
        )
    )


def _foreign_reservations(found: _Found, foreign: list[Reservation]) -> Iterator[Difference]:
    contract = found.contract
    wanted = {one.address: one for one in contract.reservations}
    named = _addresses(contract)
    for one in foreign:
        want, host = wanted.get(one.address), named.get(one.address)
        name = want.name if want else host[0] if host else None
        if name is None or short_name(one.name, contract.domain) == name:
            continue
        yield Difference(
            "foreign",
            "reservation",
            name,
            f"address of {name} on {contract.router.name}",
            said(want) if want else f"{one.address} for nobody else",
            f"{said(one)}, which the inventory does not declare",
            want.declared if want else host[1] if host else None,
            found.by_hand,
            stops=True,
        )
    yield from _foreign_duplicates(found, foreign)


def _foreign_duplicates(found: _Found, foreign: list[Reservation]) -> Iterator[Difference]:
    """Kea refuses its whole configuration for one of these, so nothing may be written next to them."""
    macs = Counter(one.mac for one in foreign)
    addresses = Counter(one.address for one in foreign)
    twice = [one for one in foreign if macs[one.mac] > 1 or addresses[one.address] > 1]
    if twice:
        yield Difference(
            "duplicate",
            "reservation",
            None,
            f"reservations of others on {found.contract.router.name}",
            "each MAC and each address once",
            "; ".join(map(said, twice)),
            None,
            f"Remove one of them on {found.contract.router.name} by hand",
            stops=True,
        )


def _addresses(contract: Contract) -> dict[IPv4Address, tuple[str, Declared | None]]:
    """Whose each declared address is, reserved or not."""
    return {
        IPv4Address(record.target): (short_name(record.name, contract.domain), record.declared)
        for record in contract.records
        if record.type == "A"
    }


def _same(entry: Reservation, want: Reservation, domain: str) -> bool:
    return (entry.mac, entry.address, short_name(entry.name, domain)) == (want.mac, want.address, want.name)


# --- records -----------------------------------------------------------------------------------------------------


def _compare_records(found: _Found, held: Iterable[Record]) -> None:
    contract, entries = found.contract, list(held)
    declared = {record.name: record for record in contract.records}
    ours: dict[str, list[Record]] = {name: [] for name in declared}
    addresses = _addresses(contract)
    for one in entries:
        name = _plain(one.name)
        if name in ours:
            ours[name].append(one)
        elif one.type == "A" and (host := addresses.get(IPv4Address(one.target))):
            found.differences.append(_foreign_name(found, one, *host))
    for want in declared.values():
        _judge_record(found, want, ours[want.name])
    found.differences += _dangling(found, entries, declared)


def _foreign_name(found: _Found, one: Record, host: str, declared: Declared | None) -> Difference:
    """Another name at a declared address may take its PTR: the router gives the first, or both."""
    return Difference(
        "foreign",
        "record",
        host,
        f"names at {one.target} on {found.contract.router.name}",
        f"{host}.{found.contract.domain} alone",
        f"{one.name}, which the inventory does not declare",
        declared,
        found.by_hand,
        stops=True,
    )


def _judge_record(found: _Found, want: Record, entries: list[Record]) -> None:
    right = [one for one in entries if (one.type, _plain(one.target)) == (want.type, want.target)]
    if len(right) == 1 and len(entries) == 1:
        return
    extra = [*right[1:], *(one for one in entries if one not in right)] if right else entries
    found.remove_records += extra
    if not right:
        found.add_records.append(want)
    kind: Kind = "duplicate" if right or len(entries) > 1 else "wrong" if entries else "missing"
    contract = found.contract
    host = want.name if want.type == "A" else want.target
    found.differences.append(
        Difference(
            kind,
            "record",
            short_name(host, contract.domain),
            f"{want.type} {want.name} on {contract.router.name}",
            want.target + (", once" if kind == "duplicate" else ""),
            "; ".join(one.target if one.type == want.type else f"{one.type} {one.target}" for one in entries)
            or "nothing",
            want.declared,
            contract.invoke(APPLY),
        )
    )


def _dangling(found: _Found, held: list[Record], declared: dict[str, Record]) -> Iterator[Difference]:
    """Aliases of others into this domain that lead nowhere; of ours, what is missing or wrong is told already."""
    contract = found.contract
    there = {_plain(one.name) for one in held} | set(declared)
    for one in held:
        name, target = _plain(one.name), _plain(one.target)
        ours_or_alive = name in declared or target in there
        if one.type == "CNAME" and not ours_or_alive and target.endswith(f".{contract.domain}"):
            yield Difference(
                "dangling",
                "record",
                None,
                f"alias {name} on {contract.router.name}",
                f"an address behind {target}",
                f"no record of {target}",
                None,
                found.by_hand,
            )


# --- leases ------------------------------------------------------------------------------------------------------


def _compare_leases(contract: Contract, leases: Iterable[Lease], reserved: set[str]) -> Iterator[Difference]:
    """`reserved` are the MACs the router itself has an entry for: those are known to somebody."""
    by_mac = {str(one.mac): one for one in contract.reservations}
    by_address = {one.address: one for one in contract.reservations}
    for lease in leases:
        address = _address(lease.address)
        want = by_mac.get(lease.mac)
        holder = by_address.get(address) if address else None
        if want is not None and want.address != address:
            yield _lease(contract, want, lease, f"lease of {want.name}", str(want.address))
        elif want is None and holder is not None:
            yield _lease(contract, holder, lease, f"lease of {holder.address}", f"{holder.mac} ({holder.name})")
        elif want is None and lease.mac not in reserved and address and _is_static(contract, address):
            yield Difference(
                "stranger",
                "lease",
                None,
                f"MACs with a lease from {contract.router.name}",
                "declared ones",
                said_lease(lease),
                None,
                "Find that machine; declare it in the inventory, or take it off the segment",
            )


def _lease(contract: Contract, want: Reservation, lease: Lease, what: str, expected: str) -> Difference:
    do = (
        f"End that lease on {contract.router.name}, or let the machine ask anew; then {contract.invoke('router.check')}"
    )
    return Difference(
        "lease",
        "lease",
        want.name,
        f"{what} from {contract.router.name}",
        expected,
        said_lease(lease),
        want.declared,
        do,
    )


def _is_static(contract: Contract, address: IPv4Address) -> bool:
    """In a segment of the management VMs, outside its dynamic range: nobody unknown belongs there."""
    segments = {guest.nic.segment.name: guest.nic.segment for guest in contract.guests}.values()
    return any(address in segment.subnet and not _in_pool(address, segment) for segment in segments)


def _in_pool(address: IPv4Address, segment: Segment) -> bool:
    return segment.pool is not None and segment.pool[0] <= address <= segment.pool[1]


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


# --- words -------------------------------------------------------------------------------------------------------


def said(one: Reservation) -> str:
    return f"{one.mac} -> {one.address}" + (f" ({one.name})" if one.name else "")


def said_lease(lease: Lease) -> str:
    client = f", as client-id {lease.client_id}" if lease.client_id else ""
    return f"{lease.address} for {lease.mac}" + (f" ({lease.name})" if lease.name else "") + client


def short_name(name: str, domain: str) -> str:
    return _plain(name).removesuffix(f".{domain}")


def _plain(name: str) -> str:
    return name.lower().rstrip(".")
