"""The embedded lab's commands: what the contract of site `lab` asks for, handed to the lab as plain values."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from rich.console import Console

from harness import lab
from harness.commands.front import front
from harness.commands.setup import install_missing
from harness.contract import Contract
from harness.embedded import RouterKind
from harness.errors import Invalid
from harness.former import forget_former
from harness.lab import (
    DELAY_S,
    ROUTER_NIC,
    WORK,
    HypervisorState,
    LabMachine,
    LabSpec,
    LabStatus,
    LabTemplate,
    Latency,
    Seed,
    SeedRecord,
    SeedReservation,
    SeedSubnet,
    Work,
)
from harness.printing import console
from harness.routers import dnsmasq
from harness.site import open_contract

# The kind of the lab's router for each kind the inventory knows.
ROUTERS: Mapping[str | None, RouterKind] = {"dnsmasq": "dnsmasq", "opnsense": "kea", "vyos": "vyos"}


@front
def up(
    inventory: Path,
    site: str,
    router: str | None = None,
    *,
    bootstrapped: bool = False,
    latency: str | None = None,
    work: str | None = None,
) -> int:
    """Bring the lab up; `router` is its router's kind, by default that of the running lab or dnsmasq."""
    out = console()
    if latency not in (None, *DELAY_S):
        raise _unknown(f"latency {latency}", "there is no such distance", DELAY_S)
    if work not in (None, *WORK):
        raise _unknown(f"work {work}", "PVE's tasks cannot take their time that way", WORK)
    install_missing(out)
    found = lab.status()  # a lab that took the short cut is left alone: only whoever says so loses it
    kept = found.up and found.hypervisor_state == "bootstrapped"
    state: HypervisorState = "bootstrapped" if bootstrapped or kept else "installed"
    contract = open_contract(inventory, site, router=router)
    show_status(start(contract, out, state, latency, work), out)
    return 0


def _unknown(on: str, happened: str, known: Iterable[str]) -> Invalid:
    return Invalid(tried="bring the lab up", on=on, happened=happened, do=f"Use one of: {', '.join(known)}")


@front
def build() -> int:
    """Build what every lab is made of."""
    out = console()
    install_missing(out)
    lab.build(lambda text: out.print(f"lab: {text}", markup=False))
    return 0


@front
def down() -> int:
    """Take the lab down."""
    lab.down(console().print)
    return 0


@front
def status(*, as_json: bool) -> int:
    """Say whether the lab is up and how to reach it."""
    found = lab.status()
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        show_status(found, console())
    return 0


@front
def ssh(name: str) -> int:
    """Become an SSH client on a host of the lab."""
    command = lab.ssh_command(name)
    found = lab.status()
    if found.api and not found.api.tokens and name == found.hosts[-1].name:
        console(to_stderr=True).print(f"{name} takes our key when it is bootstrapped: ./invoke bootstrap", markup=False)
    os.execvp(command[0], command)  # noqa: S606 - a list of ours, no shell


def start(
    contract: Contract,
    out: Console,
    state: HypervisorState,
    latency: Latency | None = None,
    work: Work | None = None,
) -> LabStatus:
    """The lab as the contract describes it, running."""
    spec = replace(spec_of(contract, state), latency=latency, work=work)
    return lab.up(
        spec,
        progress=lambda text: out.print(f"lab: {text}", markup=False),
        anew=partial(forget_former, contract),
    )


def spec_of(contract: Contract, state: HypervisorState = "installed") -> LabSpec:
    """What the lab needs to know of the contract; it reads no inventory of its own."""
    hypervisor = contract.hypervisor
    if contract.router.kind not in ROUTERS or len(hypervisor.templates) != 1 or len(hypervisor.bridges) != 1:
        raise Invalid(
            tried="bring the lab up",
            on=contract.site,
            happened="the lab can be a site with a router of a known kind, one bridge and one template",
            do="Use --site lab, or describe such a site",
        )
    template, bridge = next(iter(hypervisor.templates.values())), hypervisor.bridges[0]
    network = next(segment.subnet for segment in contract.segments.values() if hypervisor.address in segment.subnet)
    return LabSpec(
        dnsmasq=dnsmasq.render(contract) if contract.router.kind == "dnsmasq" else {},
        router_kind=ROUTERS[contract.router.kind],
        router_seed=_seed_of(contract),
        site=contract.site,
        domain=contract.domain,
        network=network,
        router=LabMachine(contract.router.name, contract.router.address),
        hypervisor=LabMachine(hypervisor.name, hypervisor.address),
        tool_address=IPv4Address(int(network.broadcast_address) - 1),
        bridge=bridge.name,
        bridge_port=bridge.port or "eno1",
        pool=hypervisor.pool or "mgmt",
        template=LabTemplate(template.vmid or 9000, template.name, template.build_mark, template.user),
        hypervisor_state=state,
    )


def _seed_of(contract: Contract) -> Seed:
    """What a router with an API has been told by the time the lab comes up."""
    reserved = [reservation.address for reservation in contract.reservations]
    served = [one for one in contract.segments.values() if any(address in one.subnet for address in reserved)]
    return Seed(
        nic=ROUTER_NIC,
        address=str(contract.router.address),
        domain=contract.domain,
        subnets=tuple(
            SeedSubnet(str(one.subnet), str(one.gateway), (str(one.pool[0]), str(one.pool[1])) if one.pool else None)
            for one in served
        ),
        reservations=tuple(SeedReservation(one.mac, str(one.address), one.name) for one in contract.reservations),
        records=tuple(SeedRecord(one.type, one.name, one.target) for one in contract.records),
    )


def show_status(found: LabStatus, out: Console) -> None:
    if not found.up or found.api is None:
        out.print("The lab is down. Bring it up: ./invoke lab.up")
        return
    out.print(f"The lab is up (site {found.site}): {found.api.url}, fingerprint {found.api.fingerprint}", markup=False)
    if found.latency is not None and DELAY_S[found.latency]:
        out.print(f"  every frame to it and from it takes {DELAY_S[found.latency] * 1000:g} ms ({found.latency})")
    if found.work == "recorded":
        out.print("  PVE's tasks take at least as long as they took on a recorded node")
    for host in found.hosts:
        out.print(f"  {host.name:<18} {host.address}", markup=False)
    for guest in found.guests:
        out.print(f"  {guest.name:<18} {guest.address or '-':<15} VM {guest.vmid}, {guest.status}", markup=False)
    if not found.api.tokens:
        out.print("Its hypervisor is as the installer leaves it. Go on: ./invoke bootstrap")
