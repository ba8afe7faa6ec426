"""Judge what the network promises before a VM starts: host key, names, who has authority, reservations. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

from harness import routers
from harness.contract import Contract, Hypervisor, Record
from harness.preflight.model import Finding, failed, note, ok, unknown
from harness.remote.known_hosts import HostKey, compare
from harness.routers import ObservedRouter

Resolve = Callable[[str], Iterable[IPv4Address]]
Reverse = Callable[[IPv4Address], Iterable[str]]


def judge_host_key(
    hypervisor: Hypervisor, files: tuple[Path, ...], pinned: frozenset[HostKey], offered: frozenset[HostKey]
) -> Iterator[Finding]:
    shown = ", ".join(sorted(f"{key.type} {key.fingerprint}" for key in offered))
    name = hypervisor.name
    compare_first = "at its console, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`"
    if not pinned:
        where = files[0] if files else "the file of mgmt_hypervisor.ssh.known_hosts"
        do = (
            f"Compare it with what the host itself says ({compare_first}), then write that fingerprint to"
            f" mgmt_hypervisor.ssh.host_key_fingerprint, or pin the key under the name {name} in {where}"
        )
        yield failed(f"no host key of {name} is pinned; it shows {shown}", do)
    elif compare(pinned, offered) != "same":
        kept = ", ".join(sorted(f"{key.type} {key.fingerprint}" for key in pinned))
        do = (
            f"Find out why ({compare_first}); if it was installed anew: ssh-keygen -R {name} -f {files[0]},"
            " then bootstrap it"
        )
        yield failed(f"{name} shows another host key than the pinned one: {shown} instead of {kept}", do)
    else:
        yield ok(shown)


def judge_names(
    records: Iterable[Record], reversed_names: dict[IPv4Address, str], resolve: Resolve, reverse: Reverse, server: str
) -> Iterator[Finding]:
    """Each declared record as the DNS server answers it, and the way back for `reversed_names`."""
    count = 0
    declared = list(records)
    addresses = {record.name: record.target for record in declared if record.type == "A"}
    for record in declared:
        wanted = record.target if record.type == "A" else addresses.get(record.target)
        if wanted is None:
            continue  # an alias of a host that is not asked about here
        count += 1
        seen = sorted(str(address) for address in resolve(record.name))
        if seen != [wanted]:
            do = f"Put {record.type} {record.name} -> {record.target} into the DNS of {server}"
            yield failed(f"{record.name} leads to {', '.join(seen) or 'nothing'}, declared is {wanted}", do)
    for address, name in reversed_names.items():
        count += 1
        names = sorted(reverse(address))
        if names != [name]:
            do = f"Put PTR {address} -> {name} into the DNS of {server}"
            yield failed(f"{address} leads back to {', '.join(names) or 'nothing'}, declared is {name}", do)
    yield ok(f"{count} answers asked of {server}")


def records_of(contract: Contract, names: Iterable[str]) -> list[Record]:
    """The declared records of these hosts, aliases too."""
    wanted = set(names)
    return [record for record in contract.records if record.name in wanted or record.target in wanted]


def judge_authority(contract: Contract, software: str | None, router: ObservedRouter | None) -> Iterator[Finding]:
    """The declared authority must be the one that answers; `router` is None where it cannot be read."""
    name, kind = contract.router.name, contract.router.kind
    at = f"{name} ({contract.router.dns})"
    is_dnsmasq = software is not None and software.startswith("dnsmasq")
    if contract.authority == "bootstrap":
        yield from _bootstrap_authority(at, software, is_dnsmasq, is_read=router is not None and kind == "dnsmasq")
    elif is_dnsmasq and kind not in (None, "dnsmasq"):
        do = "Give authority back to the core router, or declare mgmt_site.authority: bootstrap while it is away"
        yield failed(
            f"declared is core authority ({kind}), but {software} answers DNS at {at}: a bootstrap authority", do
        )
    elif router is not None and contract.reservations and not router.reservations:
        do = "Put the site's reservations on it, or declare who has authority (mgmt_site.authority)"
        yield failed(f"declared is core authority, but {name} holds no reservation at all", do)
    elif router is None:
        yield note(f"core authority: {software or 'DNS'} answers at {at}; its reservations cannot be read from here")
    else:
        yield ok(f"core authority: {software or 'DNS'} answers at {at}, with {len(router.reservations)} reservations")


def _bootstrap_authority(at: str, software: str | None, is_dnsmasq: bool, *, is_read: bool) -> Iterator[Finding]:
    if is_dnsmasq or (software is None and is_read):
        yield ok(f"bootstrap authority: {software or 'dnsmasq'} answers at {at}")
    elif software is None:
        do = "Look which one runs, or declare the router's kind and SSH login (mgmt_router)"
        yield unknown(f"declared is bootstrap authority; the DNS server at {at} does not say what it is", do)
    else:
        do = "Start the bootstrap authority's dnsmasq, or declare mgmt_site.authority: core"
        yield failed(f"declared is bootstrap authority (dnsmasq), but {software} answers at {at}", do)


def judge_reservations(contract: Contract, seen: ObservedRouter, now: float) -> Iterator[Finding]:
    """What keeps a declared host from being given its address; records are asked of the DNS server itself."""
    wrong = [one for one in routers.compare(contract, seen, now=now).differences if one.about != "record"]
    for one in wrong:
        if one.kind == "stranger":
            yield note(f"{one.what}: expected {one.expected}, seen {one.seen}", one.do)
        else:
            yield failed(f"{one.what}: expected {one.expected}, seen {one.seen}", one.do)
    if not wrong:
        yield ok(f"{contract.router.name} holds all {len(contract.reservations)} reservations")
