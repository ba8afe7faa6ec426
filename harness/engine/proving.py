"""Prove that the core router serves what it was given: real DHCP offers, and DNS answers there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.contract import Contract, Mac
from harness.errors import HarnessError, TimedOut, Unreachable
from harness.routers import Comparison
from harness.routers.compare import short_name
from harness.wait import wait_until

DEADLINE_S = 8.0


@dataclass(frozen=True)
class Promise:
    """One answer that the inventory wants; `host` is whose it is."""

    kind: Literal["offer", "A", "PTR", "alias"]
    subject: str
    wanted: str
    host: str

    def __str__(self) -> str:
        return {
            "offer": f"a DHCP offer to {self.subject} ({self.host})",
            "A": f"A {self.subject}",
            "PTR": f"PTR {self.subject}",
            "alias": f"the alias {self.subject}",
        }[self.kind]


@dataclass(frozen=True)
class ServiceLooks:
    """`offers` gives what the core router offers each MAC on a bridge; None: nobody is there who could ask."""

    offers: Callable[[str, Sequence[Mac]], Mapping[str, set[str]]] | None
    resolve_a: Callable[[str], Iterable[object]]
    resolve_ptr: Callable[[str], Iterable[str]]


Seen = Mapping[Promise, str]


def prover(
    contract: Contract, looks: ServiceLooks, everything: bool, *, deadline_s: float = DEADLINE_S
) -> Callable[[Comparison], str]:
    """Take what is served now; what is returned holds the service to that, and to what was changed meanwhile.

    What was not served before and was not changed is no fault of the change: check and verify speak of it. With
    `everything` the service is held to all that is declared.
    """
    bridges = _bridges(contract) if looks.offers else {}
    promises = list(promises_of(contract, bridges))
    now = {promise: promise.wanted for promise in promises} if everything else _ask(looks, bridges, promises)
    served = {promise for promise, seen in now.items() if seen == promise.wanted}

    def prove(found: Comparison) -> str:
        changed = {one.host for one in found.differences if one.about != "lease"}
        must = [promise for promise in promises if promise in served or promise.host in changed]
        _wait_until_kept(contract, looks, bridges, must, deadline_s)
        return _said(must, found, bridges, looks)

    return prove


def prove_all(contract: Contract, looks: ServiceLooks, *, deadline_s: float = DEADLINE_S) -> str:
    """Hold the service to everything that is declared, whatever the router holds; says what was asked."""
    bridges = _bridges(contract) if looks.offers else {}
    must = list(promises_of(contract, bridges))
    _wait_until_kept(contract, looks, bridges, must, deadline_s)
    offers = sum(promise.kind == "offer" for promise in must)
    return f"{offers} DHCP offers on the hypervisor's bridge, {len(must) - offers} DNS answers"


def promises_of(contract: Contract, bridges: Mapping[str, str]) -> Iterator[Promise]:
    """Every answer the inventory wants; offers only where a bridge of the hypervisor is on the segment."""
    for one in contract.reservations:
        if str(one.address) in bridges:
            yield Promise("offer", one.mac, str(one.address), one.name)
    addresses = {record.name: record.target for record in contract.records if record.type == "A"}
    reversed_names: set[str] = set()
    for record in contract.records:
        if record.type == "A":
            host = short_name(record.name, contract.domain)
            yield Promise("A", record.name, record.target, host)
            if record.target not in reversed_names:  # the first name of an address has its PTR
                yield Promise("PTR", record.target, record.name, host)
            reversed_names.add(record.target)
        elif record.target in addresses:
            host = short_name(record.target, contract.domain)
            yield Promise("alias", record.name, addresses[record.target], host)


def _bridges(contract: Contract) -> dict[str, str]:
    """The hypervisor's bridge on whose segment each reserved address is, by address."""
    subnets = {
        contract.segments[name].subnet: bridge.name
        for bridge in contract.hypervisor.bridges
        for name in bridge.segments
        if name in contract.segments
    }
    # A guest with a VLAN tag is on a segment that the bridge's own frames do not reach.
    tagged = {guest.nic.address.ip for guest in contract.guests if guest.nic.vlan_tag is not None}
    return {
        str(one.address): bridge
        for one in contract.reservations
        for subnet, bridge in subnets.items()
        if one.address in subnet and one.address not in tagged
    }


def _ask(looks: ServiceLooks, bridges: Mapping[str, str], promises: Sequence[Promise]) -> dict[Promise, str]:
    seen: dict[Promise, str] = {}
    wanted = [promise for promise in promises if promise.kind == "offer"]
    for bridge in dict.fromkeys(bridges[promise.wanted] for promise in wanted):
        there = [promise for promise in wanted if bridges[promise.wanted] == bridge]
        offers = looks.offers(bridge, [Mac(promise.subject) for promise in there]) if looks.offers else {}
        seen |= {promise: _list(offers.get(promise.subject, ())) for promise in there}
    silent: Unreachable | None = None
    for promise in promises:
        if promise.kind == "offer":
            continue
        try:
            # A server that let one question wait out its time does not get every other one too.
            seen[promise] = "no answer" if silent else _list(_resolve(looks, promise))
        except Unreachable as failure:
            seen[promise], silent = "no answer", failure
        except HarnessError as failure:
            seen[promise] = failure.happened
    return seen


def _resolve(looks: ServiceLooks, promise: Promise) -> Iterable[object]:
    return looks.resolve_ptr(promise.subject) if promise.kind == "PTR" else looks.resolve_a(promise.subject)


def _list(answers: Iterable[object]) -> str:
    return ", ".join(sorted({str(answer) for answer in answers})) or "nothing"


def _wait_until_kept(
    contract: Contract, looks: ServiceLooks, bridges: Mapping[str, str], must: list[Promise], deadline_s: float
) -> None:
    """A restarted service needs a moment; only what is not right yet is asked again."""
    missing = list(must)

    def look() -> tuple[bool | None, str]:
        seen = _ask(looks, bridges, missing)
        missing[:] = [promise for promise in missing if seen[promise] != promise.wanted]
        said = [f"{promise}: expected {promise.wanted}, seen {seen[promise]}" for promise in missing[:3]]
        more = f" (and {len(missing) - 3} more)" if len(missing) > 3 else ""
        return (None if missing else True), "; ".join(said) + more

    waited = wait_until(look, deadline_s=deadline_s)
    if waited.value is None:
        raise TimedOut(
            tried="prove the service",
            on=contract.router.name,
            happened=f"after {waited.seconds:.1f} s it still does not serve: {waited.last_seen}",
            do="Look at its DHCP and DNS logs, and for leases that hold the address: "
            f"{contract.invoke('router.check')}",
        )


def _said(must: list[Promise], found: Comparison, bridges: Mapping[str, str], looks: ServiceLooks) -> str:
    offers = sum(promise.kind == "offer" for promise in must)
    text = f"{offers} DHCP offers on the hypervisor's bridge, {len(must) - offers} DNS answers"
    beyond = [one.name for one in found.changes.add_reservations if str(one.address) not in bridges]
    if beyond:
        why = "are not on a segment of its bridges" if looks.offers else "were not asked for"
        text += f"; offers to {', '.join(beyond)} {why}"
    return text
