"""Know what each host will be asked for checks with given fixtures, and begin before anything else is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Set
from pathlib import Path

from harness import routers
from harness.contract import Contract, Guest
from harness.verify import guest_facts, host_facts, host_setup, segment_facts
from harness.verify.looks import Looks
from harness.verify.memory import FILE, Memory
from harness.verify.options import OWN_SPECS, VerifyOptions
from harness.verify.trips import Trips

# Fixtures whose answer is about all guests together, and those that hear what is said on the guests' segments.
NEEDS_ALL_GUESTS = frozenset({"same_machine_id", "same_host_key", "automation_users"})
NEEDS_SEGMENT = frozenset({"segment", "dhcp_servers", "unknown_macs"})
# What is answered in the hypervisor's round trip, and what all our own specs together ask hosts for.
NEEDS_HYPERVISOR = frozenset({"hypervisor_host", "host_setup", "host"}) | NEEDS_SEGMENT
NEEDS_HOSTS = frozenset({"inside", "router"}) | NEEDS_ALL_GUESTS | NEEDS_HYPERVISOR


def begin(contract: Contract, options: VerifyOptions) -> Trips | None:
    """The round trips of a whole run of our own specs, planned; None for any other, which has to be read first.

    The hypervisor's is under way. It has to wait for DHCP servers, so it gets ahead of a dozen other log-ins.
    """
    if not options.is_whole or contract.authority != "core":
        return None
    trips = open_trips(contract, Looks(), OWN_SPECS)
    plan_trips(trips, contract, NEEDS_HOSTS, contract.guests)
    trips.start(contract.hypervisor.name)
    return trips


def open_trips(contract: Contract, looks: Looks, specs: Path) -> Trips:
    """Nobody is contacted yet."""
    return Trips(contract, looks, Memory(contract.state_dir / FILE, str(specs)))


def plan_trips(trips: Trips, contract: Contract, fixtures: Set[str], chosen: Iterable[Guest]) -> None:
    """Have all of it sent with the first question to each host."""
    hypervisor, chosen = contract.hypervisor.name, tuple(chosen)
    for bridge in segment_facts.bridges_of(contract) if fixtures & NEEDS_SEGMENT else ():
        trips.plan(hypervisor, f"host segment {bridge}", segment_facts.questions(contract, bridge))
    if "host_setup" in fixtures:
        trips.plan(hypervisor, "host setup", host_setup.COMMANDS)
    if "hypervisor_host" in fixtures:
        trips.plan(hypervisor, "host", host_facts.COMMANDS)
    if "router" in fixtures and routers.is_readable(contract) and routers.needs_shell(contract):
        trips.plan_remembered(contract.router.name)
    for guest in _guests_inside(contract, fixtures, chosen):
        trips.plan(guest.name, f"guest {guest.name}", guest_facts.questions(guest))
    for name in (hypervisor, *(guest.name for guest in chosen)) if "host" in fixtures else ():
        trips.plan_remembered(name)


def _guests_inside(contract: Contract, fixtures: Set[str], chosen: Iterable[Guest]) -> tuple[Guest, ...]:
    """Which guests have to be logged in to."""
    if fixtures & NEEDS_ALL_GUESTS:
        return contract.guests
    return tuple(chosen) if "inside" in fixtures else ()
