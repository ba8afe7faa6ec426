"""What the lab's router is told of a nested site: its reservations and names, and whom to ask for others."""

from __future__ import annotations

from ipaddress import IPv4Address

from harness.contract import Contract
from harness.errors import Invalid
from harness.instance.uplink import FORWARD
from harness.lab import LabMachine, LabSpec
from harness.routers import dnsmasq


def spec_of(contract: Contract) -> LabSpec:
    """The site's network as the lab makes it."""
    hypervisor, router = contract.hypervisor, contract.router
    if router.kind != "dnsmasq":
        raise Invalid(
            tried=f"bring the network of site {contract.site} up",
            on=f"{router.name} ({router.declared})",
            happened=f"its router is declared as {router.kind}, and the router of a nested site is the lab's dnsmasq",
            do="Declare mgmt_router.kind: dnsmasq",
        )
    network = next(segment.subnet for segment in contract.segments.values() if hypervisor.address in segment.subnet)
    return LabSpec(
        dnsmasq={**dnsmasq.render(contract), **FORWARD},
        site=contract.site,
        domain=contract.domain,
        network=network,
        router=LabMachine(router.name, router.address),
        hypervisor=LabMachine(hypervisor.name, hypervisor.address),
        tool_address=IPv4Address(int(network.broadcast_address) - 1),
    )
