"""Draw together what a run saw of the network, from looks that were taken for its checks: none is taken for this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from harness import routers
from harness.contract import Bridge, Contract, Guest
from harness.errors import HarnessError
from harness.observed import ObservedGuest
from harness.report.model import ShownBridge, ShownGuest, ShownNetwork
from harness.verify.looks import NotLooked
from harness.verify.site_view import SiteView

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """The network, and the VMs on it with the state they were seen in."""

    network: ShownNetwork
    guests: tuple[ShownGuest, ...]


def picture_of(site: SiteView) -> Picture:
    """What is declared, with what was seen of it; what nobody looked at stays None."""
    site.looks.close()
    vms = _seen(site.vms)
    return Picture(_network(site, vms), tuple(_guest(guest, vms) for guest in site.contract.guests))


def declared_guests(contract: Contract) -> tuple[ShownGuest, ...]:
    """The VMs as declared, of which nothing was seen."""
    return tuple(_guest(guest, None) for guest in contract.guests)


def _network(site: SiteView, vms: tuple[ObservedGuest, ...] | None) -> ShownNetwork:
    contract = site.contract
    hypervisor, router = contract.hypervisor, contract.router
    node = _seen(site.node)
    active = {bridge.name: bridge.active for bridge in _seen(site.bridges) or ()}
    return ShownNetwork(
        router=router.name,
        router_kind=router.kind,
        router_address=str(router.address),
        router_answered=_answered(site.router) if routers.is_readable(contract) else None,
        hypervisor_address=str(hypervisor.address),
        hypervisor_answered=_answered(site.node),
        hypervisor_version=node.pve_version if node else None,
        bridges=tuple(_bridge(contract, bridge, active) for bridge in hypervisor.bridges),
        strangers=_strangers(contract, vms or ()),
    )


def _bridge(contract: Contract, bridge: Bridge, active: dict[str, bool]) -> ShownBridge:
    known = (contract.segments.get(name) for name in bridge.segments)
    segments = tuple(f"{segment.name} {segment.subnet}" for segment in known if segment)
    # A bridge that the list lacks is not active; without a list nobody knows.
    return ShownBridge(bridge.name, bridge.port, segments, active.get(bridge.name, False) if active else None)


def _strangers(contract: Contract, vms: tuple[ObservedGuest, ...]) -> tuple[str, ...]:
    declared = {guest.vmid for guest in contract.guests}
    others = (vm for vm in vms if vm.vmid not in declared and not vm.template)
    return tuple(f"{vm.name or 'without a name'} (VM {vm.vmid})" for vm in others)


def _guest(guest: Guest, vms: tuple[ObservedGuest, ...] | None) -> ShownGuest:
    nic = guest.nic
    state = None
    if vms is not None:
        state = next((vm.status for vm in vms if vm.vmid == guest.vmid), "absent")
    return ShownGuest(guest.name, guest.vmid, guest.category, nic.mac, str(nic.address.ip), nic.bridge, state)


def _answered(look: Callable[[], object]) -> bool | None:
    try:
        look()
    except NotLooked:
        return None
    except HarnessError:
        return False
    return True


def _seen(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except HarnessError:
        return None
