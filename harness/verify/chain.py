"""Follow a VM's identity from the inventory to its SSH host name, and stop at the first link that does not hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address

from harness.contract import Guest
from harness.errors import HarnessError
from harness.report.model import ShownChain
from harness.verify.expect import show
from harness.verify.looks import NotLooked
from harness.verify.site_view import SiteView


@dataclass(frozen=True)
class Link:
    """One step: `see` gives what is there, or raises what kept it from being seen; `said` is how a kept link reads."""

    name: str
    expected: object
    see: Callable[[], object]
    said: str


def follow(guest: Guest, links: Iterable[Link]) -> ShownChain | None:
    """The chain up to its first bad link; None when a link was no question of this run."""
    held = [str(guest.nic.mac)]
    for link in links:
        try:
            seen = link.see()
        except NotLooked:
            return None
        except HarnessError as error:
            return ShownChain(guest.name, tuple(held), link.name, "unknown", f"could not look: {error.happened}")
        if seen != link.expected:
            said = f"expected {show(link.expected)}, seen {show(seen)}"
            return ShownChain(guest.name, tuple(held), link.name, "fail", said)
        held.append(link.said)
    return ShownChain(guest.name, tuple(held), None, "pass", "")


def chains_of(site: SiteView, guests: Iterable[Guest]) -> tuple[ShownChain, ...]:
    """The chains of these guests, from looks that were taken for the checks: none is taken for this."""
    site.looks.close()
    found = (follow(guest, _links(site, guest, time.time())) for guest in guests)
    return tuple(chain for chain in found if chain is not None)


def _links(site: SiteView, guest: Guest, now: float) -> Iterator[Link]:
    address, nic = guest.nic.address.ip, guest.nic
    yield Link(nic.slot, nic.mac, lambda: _configured(site, guest), nic.slot)
    yield Link("reservation", [str(address)], lambda: _reserved(site, guest), f"reservation {address}")
    yield Link("lease", [str(address)], lambda: _leased(site, guest, now), "lease")
    yield Link("NIC", [f"{address} on {nic.mac}"], lambda: _held(site, guest), "NIC")
    yield Link("A", [address], lambda: list(site.addresses_of(guest.fqdn)), f"A {guest.fqdn}")
    yield Link("PTR", [guest.fqdn], lambda: list(site.names_of(address)), "PTR")
    for alias in guest.cnames:
        yield Link(f"alias {alias}", [address], partial(_alias, site, alias), alias.partition(".")[0])
    yield Link("SSH host name", guest.name, lambda: site.guest(guest).hostname.partition(".")[0], f"ssh {guest.name}")


def _configured(site: SiteView, guest: Guest) -> str | None:
    vm = site.vm(guest.vmid)
    nic = vm.nics.get(guest.nic.slot) if vm else None
    return nic.mac.lower() if nic else None


def _reserved(site: SiteView, guest: Guest) -> list[str]:
    return [str(one.address) for one in site.router().reservations if one.mac == guest.nic.mac]


def _leased(site: SiteView, guest: Guest, now: float) -> list[str]:
    alive = (one for one in site.router().leases if one.expires_at is None or one.expires_at > now)
    return [one.address for one in alive if one.mac == guest.nic.mac]


def _held(site: SiteView, guest: Guest) -> list[str]:
    return [f"{held.address} on {held.mac}" for held in site.guest(guest).addresses]


def _alias(site: SiteView, name: str) -> list[IPv4Address]:
    return list(site.addresses_of(name))
