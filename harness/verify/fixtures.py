"""What specs may ask for: what the contract declares, and what was observed."""

from __future__ import annotations

import time
from datetime import date
from ipaddress import IPv4Address
from types import ModuleType
from typing import Any

import pytest
from testinfra.host import Host

from harness.contract import Bridge, Contract, Guest, Hardware, Hypervisor, Template
from harness.errors import HarnessError, Refused
from harness.observed import ObservedBridge, ObservedCluster, ObservedDisk, ObservedGuest, ObservedNode, ObservedStorage
from harness.plan import Plan, diff
from harness.probe import own_macs
from harness.routers import ObservedRouter
from harness.verify import derived, marks, undone
from harness.verify.drilled import Drilled
from harness.verify.expect import Expect, Pending, place
from harness.verify.guest_facts import GuestFacts
from harness.verify.host_facts import HostFacts
from harness.verify.host_setup import HostSetup
from harness.verify.mac_owners import MacOwners, read_mac_owners
from harness.verify.repositories import parse_repositories
from harness.verify.segment_facts import SegmentFacts
from harness.verify.site_view import SiteView
from harness.verify.stash import PINNED, RECORD, SITE


def of_this_run(config: pytest.Config) -> ModuleType:
    """A plugin of fixtures for what there is one of in a run.

    Bound to the run: to hand pytest's `request` to these, at each of thousands of uses, takes as long as the checks.
    """
    record = config.stash[RECORD]

    @pytest.fixture(scope="session")
    def contract() -> Contract:
        return record.contract

    @pytest.fixture(scope="session")
    def today() -> date:
        return record.today

    @pytest.fixture(scope="session")
    def site() -> SiteView:
        """Everything that can be looked at, each look taken once."""
        return config.stash[SITE]

    @pytest.fixture(scope="session")
    def mac_owners() -> MacOwners:
        """Every MAC of every site in the inventory folder."""
        return read_mac_owners(config.getoption("inventory"), record.contract.site)

    @pytest.fixture
    def pinned() -> str:
        """How the inventory says that the web interface must identify itself."""
        return config.stash[PINNED]()

    plugin = ModuleType("of_this_run")
    for fixture in (contract, today, site, mac_owners, pinned):
        setattr(plugin, fixture.__name__, fixture)
    return plugin


# --- declared ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hypervisor(contract: Contract) -> Hypervisor:
    return contract.hypervisor


@pytest.fixture(scope="session")
def expect(contract: Contract, site: SiteView) -> Expect:
    return Expect(contract.site, site.looks.note)


@pytest.fixture
def hardware(hypervisor: Hypervisor) -> Hardware:
    """What the machine must be; while the site has not chosen one, nothing can be said.

    Specs ask for it first: what is not chosen yet need not be reached.
    """
    if hypervisor.hardware.pending is not None:
        raise Pending(f"{hypervisor.hardware.pending} (declared at {place(hypervisor.declared)})")
    return hypervisor.hardware


@pytest.fixture
def mac_of_place(mac_owners: MacOwners, guest: Guest) -> str:
    return mac_owners.by_place[guest.name]


@pytest.fixture
def other_owners(mac_owners: MacOwners, guest: Guest, contract: Contract) -> tuple[str, ...]:
    return mac_owners.others(guest.nic.mac, contract.site, guest.name)


@pytest.fixture
def carriers(contract: Contract, responsibility: str) -> tuple[str, ...]:
    return derived.carriers_of(contract, responsibility)


# --- the hypervisor ----------------------------------------------------------------------------------------------


@pytest.fixture
def node(site: SiteView) -> ObservedNode:
    return site.node()


@pytest.fixture
def hypervisor_host(site: SiteView) -> HostFacts:
    return site.host()


@pytest.fixture
def disks(site: SiteView) -> tuple[ObservedDisk, ...]:
    return site.disks()


@pytest.fixture
def cluster(site: SiteView) -> ObservedCluster:
    return site.cluster()


@pytest.fixture
def cluster_options(site: SiteView) -> dict[str, Any]:
    return site.cluster_options()


@pytest.fixture
def replication_jobs(site: SiteView) -> tuple[str, ...]:
    return site.replication_jobs()


@pytest.fixture
def storages(site: SiteView) -> tuple[ObservedStorage, ...]:
    return site.storages()


@pytest.fixture
def local_storages(storages: tuple[ObservedStorage, ...]) -> frozenset[str]:
    return frozenset(storage.name for storage in storages if storage.enabled and marks.is_local(storage))


@pytest.fixture
def shown(site: SiteView) -> str:
    """How the web interface identifies itself."""
    return site.web_certificate()


@pytest.fixture
def observed_bridge(site: SiteView, bridge: Bridge) -> ObservedBridge | None:
    return next((found for found in site.bridges() if found.name == bridge.name), None)


@pytest.fixture
def plan(site: SiteView, contract: Contract) -> Plan:
    """What `provision` would do now."""
    return diff(contract, site.site())


# --- what bootstrap leaves -----------------------------------------------------------------------------------------


@pytest.fixture
def host_setup(site: SiteView) -> HostSetup:
    return site.host_setup()


@pytest.fixture
def declared_repositories(hypervisor: Hypervisor) -> frozenset[str]:
    if hypervisor.packages is None:
        raise Pending(f"no package repositories are declared (mgmt_hypervisor at {place(hypervisor.declared)})")
    return parse_repositories(hypervisor.packages.repositories)


@pytest.fixture
def time_servers(hypervisor: Hypervisor) -> frozenset[str]:
    if not hypervisor.time_servers:
        raise Pending(f"no time servers are declared (mgmt_hypervisor at {place(hypervisor.declared)})")
    return frozenset(hypervisor.time_servers)


@pytest.fixture
def stored_content(storages: tuple[ObservedStorage, ...], hypervisor: Hypervisor) -> dict[str, frozenset[str]]:
    """What the declared storages may hold; a disabled one holds nothing."""
    declared = {storage.name for storage in hypervisor.storages}
    return {one.name: one.content if one.enabled else frozenset() for one in storages if one.name in declared}


@pytest.fixture
def undone_roles(site: SiteView) -> list[str]:
    return undone.undone_roles(site.roles())


@pytest.fixture
def undone_users(site: SiteView, contract: Contract) -> list[str]:
    return undone.undone_users(contract, site.users())


@pytest.fixture
def undone_tokens(site: SiteView, contract: Contract) -> list[str]:
    return undone.undone_tokens(contract, site.users())


@pytest.fixture
def other_tokens(site: SiteView, contract: Contract) -> list[str]:
    return undone.other_tokens(contract, site.users())


@pytest.fixture
def undone_grants(site: SiteView, contract: Contract) -> list[str]:
    return undone.undone_grants(contract, site.access_list())


@pytest.fixture
def undone_pool(site: SiteView, contract: Contract) -> list[str]:
    return undone.undone_pool(contract, site.pools(), site.resources())


@pytest.fixture
def undone_backup(site: SiteView, contract: Contract) -> list[str]:
    hypervisor = contract.hypervisor
    if hypervisor.backup is None:
        raise Pending(f"no backup job is declared (mgmt_hypervisor at {place(hypervisor.declared)})")
    return undone.undone_backup(contract, site.backup_jobs())


# --- drills ------------------------------------------------------------------------------------------------------


@pytest.fixture
def drilled(site: SiteView, contract: Contract, expect: Expect) -> Drilled:
    """What the drills of this site have shown; none is run by asking."""
    return Drilled(contract, site.looks.note, expect)


# --- VMs as the hypervisor has them ------------------------------------------------------------------------------


@pytest.fixture
def vms(site: SiteView) -> tuple[ObservedGuest, ...]:
    """Every VM of the hypervisor, templates too."""
    return site.vms()


@pytest.fixture
def vm(site: SiteView, guest: Guest, expect: Expect) -> ObservedGuest:
    """The guest as the hypervisor has it."""
    found = site.vm(guest.vmid)
    if found is None:
        todo = f"./invoke provision --guest {guest.name}"
        raise expect.broken(f"VM {guest.vmid}", "no such VM", guest.name, at=guest, do=todo)
    return found


@pytest.fixture
def waiting_nics(vm: ObservedGuest, guest: Guest) -> dict[str, str]:
    return derived.waiting_macs(vm.pending, guest)


@pytest.fixture
def stored_template(
    vms: tuple[ObservedGuest, ...], template: Template, expect: Expect, site: SiteView
) -> ObservedGuest:
    """The declared template as the hypervisor has it."""
    alike = [vm for vm in vms if vm.name == template.name and template.vmid in (None, vm.vmid)]
    if len(alike) != 1:
        near = [f"VM {vm.vmid} {vm.name}" for vm in vms if vm.name == template.name or vm.vmid == template.vmid]
        wanted = "one VM of that name" if template.vmid is None else f"VM {template.vmid} of that name"
        raise expect.broken(
            f"template {template.name}",
            near,
            wanted,
            at=template,
            do="Import the template into the hypervisor's local storage",
        )
    return site.vm(alike[0].vmid) or alike[0]


@pytest.fixture
def strangers(site: SiteView, vms: tuple[ObservedGuest, ...], contract: Contract, today: date) -> tuple[str, ...]:
    return tuple(derived.find_strangers(contract, vms, site.containers(), today))


@pytest.fixture
def ended_exceptions(vms: tuple[ObservedGuest, ...], contract: Contract, today: date) -> tuple[str, ...]:
    return tuple(derived.find_ended_exceptions(contract, vms, today))


@pytest.fixture
def terraformed(site: SiteView, vms: tuple[ObservedGuest, ...]) -> tuple[str, ...]:
    return marks.terraform_marks(vms, site.pools())


@pytest.fixture
def tenanted(site: SiteView, vms: tuple[ObservedGuest, ...]) -> tuple[str, ...]:
    return marks.tenant_marks(vms, site.pools())


@pytest.fixture
def tenant_storages(site: SiteView, contract: Contract) -> tuple[str, ...]:
    words = derived.tenant_words(contract)
    return tuple(f"{name} at {server}" for name, server in site.storage_servers().items() if server in words)


# --- any machine, in testinfra's words ---------------------------------------------------------------------------


@pytest.fixture
def host(request: pytest.FixtureRequest, site: SiteView) -> Host:
    """The machine a spec is about, as testinfra sees it: the guest where the spec takes one, else the hypervisor."""
    about_guest = "guest" in request.fixturenames
    return site.machine(request.getfixturevalue("guest") if about_guest else None)


# --- guests from inside ------------------------------------------------------------------------------------------


@pytest.fixture
def inside(site: SiteView, guest: Guest) -> GuestFacts:
    """What the guest says of itself."""
    return site.guest(guest)


@pytest.fixture
def others_inside(site: SiteView, guest: Guest, contract: Contract) -> dict[str, GuestFacts]:
    """The other guests; one that cannot be looked at is unknown in its own checks, not in its neighbours'."""
    return {other.name: facts for other in contract.guests if other != guest and (facts := _if_reachable(site, other))}


@pytest.fixture
def same_machine_id(inside: GuestFacts, others_inside: dict[str, GuestFacts]) -> tuple[str, ...]:
    return tuple(name for name, other in others_inside.items() if other.machine_id == inside.machine_id)


@pytest.fixture
def same_host_key(inside: GuestFacts, others_inside: dict[str, GuestFacts]) -> tuple[str, ...]:
    return tuple(name for name, other in others_inside.items() if other.host_keys & inside.host_keys)


@pytest.fixture
def automation_users(site: SiteView, template: Template, contract: Contract) -> tuple[str, ...]:
    """Users a clone of the template lets in by key: any one clone shows what the image has."""
    clones = [guest for guest in contract.guests if contract.hypervisor.templates[guest.template] == template]
    # What is read there is the evidence of the log-in.
    let_in = {guest.ssh.user for guest in clones if (inside := _if_reachable(site, guest)) and inside.hostname}
    if clones and not let_in:
        site.guest(clones[0])  # raises what kept us out
    return tuple(let_in)


@pytest.fixture
def tenant_lines(inside: GuestFacts, contract: Contract) -> tuple[str, ...]:
    return inside.lines_naming(*derived.tenant_words(contract))


def _if_reachable(site: SiteView, guest: Guest) -> GuestFacts | None:
    try:
        return site.guest(guest)
    except HarnessError:
        return None


# --- router and wire ---------------------------------------------------------------------------------------------


@pytest.fixture
def router(site: SiteView) -> ObservedRouter:
    return site.router()


@pytest.fixture
def wrong_leases(router: ObservedRouter, contract: Contract, guest: Guest) -> tuple[str, ...]:
    return derived.wrong_leases(contract, router, guest, time.time())


@pytest.fixture
def segment(site: SiteView, guest: Guest) -> SegmentFacts:
    """What is heard and seen where the guest is plugged in."""
    if guest.nic.vlan_tag is not None:
        raise Refused(
            tried=f"ask the segment of {guest.name} for its DHCP servers",
            on=f"{guest.nic.bridge} of {site.contract.hypervisor.name}",
            happened=f"the guest is in VLAN {guest.nic.vlan_tag}, and the bridge's own frames carry no tag",
            do="Ask there by hand, or waive the clause",
        )
    return site.segment(guest.nic.bridge)


@pytest.fixture
def dhcp_servers(site: SiteView, guest_bridge: str) -> list[str]:
    """Who answers there, as the servers call themselves; one that does so from two MACs is two."""
    heard = site.segment(guest_bridge).dhcp.servers
    names = [server.address for server in heard]
    return [str(server) if names.count(server.address) > 1 else server.address for server in heard]


@pytest.fixture
def dhcp_server(contract: Contract) -> str:
    """What the declared DHCP server calls itself: its address on the segment of the VMs."""
    return derived.dhcp_server_of(contract)


@pytest.fixture
def offered(segment: SegmentFacts, guest: Guest) -> list[str]:
    """Each address offered to the guest's MAC, and by whom."""
    return sorted(f"{offer.address} by {offer.server.address}" for offer in segment.dhcp.offers_to(guest.nic.mac))


@pytest.fixture
def unknown_macs(site: SiteView, contract: Contract, mac_owners: MacOwners, router: ObservedRouter) -> tuple[str, ...]:
    """MACs that speak on the segments of the guests, or hold a lease there, and that nobody declared."""
    seen = [mac for bridge in site.bridges_of_guests for mac in site.segment(bridge).macs]
    known = {mac for mac, _, _ in mac_owners.owners} | own_macs()
    return tuple(derived.find_unknown_macs(contract, seen, router, known, time.time()))


@pytest.fixture
def wire(site: SiteView) -> SiteView:
    """Questions to DNS and to ports."""
    return site


@pytest.fixture
def alias_addresses(wire: SiteView, guest: Guest) -> dict[str, set[IPv4Address]]:
    return {alias: set(wire.addresses_of(alias)) for alias in guest.cnames}
