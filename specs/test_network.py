"""A VM's MAC leads to its address and its name, by the core router and by nothing else."""

from ipaddress import IPv4Address

import pytest

from harness.contract import Bridge, Contract, Guest
from harness.observed import ObservedBridge, ObservedGuest
from harness.routers import ObservedRouter
from harness.verify.expect import Expect
from harness.verify.guest_facts import GuestFacts
from harness.verify.marks import fixed_addresses
from harness.verify.site_view import SiteView

ROUTER = "./invoke router.check"
BOOTSTRAP = "./invoke bootstrap"
RAISE = "Look at /etc/network/interfaces of the hypervisor, then run ifreload -a there"
# DNS, also over TLS; DHCP's server ports in both protocols; BGP and RIP.
CORE_PORTS = frozenset({53, 853, 67, 547, 179, 520, 521})


@pytest.mark.clause("network.reservation")
def test_router_reserves_the_address_for_the_mac(router: ObservedRouter, guest: Guest, expect: Expect) -> None:
    seen = {str(one.address) for one in router.reservations if one.mac == guest.nic.mac}
    expect(f"addresses reserved for {guest.nic.mac}", seen, {str(guest.nic.address.ip)}, at=guest.nic, do=ROUTER)


@pytest.mark.clause("network.reservation")
def test_router_reserves_it_for_nobody_else(router: ObservedRouter, guest: Guest, expect: Expect) -> None:
    seen = [one.mac for one in router.reservations if one.address == guest.nic.address.ip]
    expect(f"MACs with {guest.nic.address.ip} reserved", seen, [guest.nic.mac], at=guest.nic, do=ROUTER)


@pytest.mark.clause("network.reservation")
def test_router_offers_it_the_address(
    offered: list[str], dhcp_server: str, guest: Guest, contract: Contract, expect: Expect
) -> None:
    wanted = [f"{guest.nic.address.ip} by {dhcp_server}"]
    expect(f"DHCP offers to {guest.nic.mac} on {guest.nic.bridge}", offered, wanted, at=guest.nic, do=ROUTER)


@pytest.mark.clause("network.address")
def test_no_lease_stands_in_its_way(wrong_leases: tuple[str, ...], guest: Guest, expect: Expect) -> None:
    expect(f"leases against {guest.nic.mac} -> {guest.nic.address.ip}", wrong_leases, (), at=guest.nic, do=ROUTER)


@pytest.mark.clause("network.address")
def test_holds_exactly_its_address(inside: GuestFacts, guest: Guest, expect: Expect) -> None:
    seen = {f"{held.address}/{held.prefix}" for held in inside.addresses}
    expect(f"addresses inside {guest.name}", seen, {str(guest.nic.address)}, at=guest.nic, do=ROUTER)


@pytest.mark.clause("network.address")
def test_has_it_by_dhcp(inside: GuestFacts, guest: Guest, expect: Expect) -> None:
    static, todo = [held for held in inside.addresses if not held.dynamic], f"Take the address out of {guest.name}"
    expect(f"static addresses inside {guest.name}", static, [], at=guest.nic, do=todo)


@pytest.mark.clause("network.address")
def test_configuration_fixes_no_address(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    todo = f"Delete these keys from VM {guest.vmid}"
    expect(f"addresses in the configuration of {guest.name}", fixed_addresses(vm), (), at=guest.nic, do=todo)


@pytest.mark.clause("network.dns")
def test_name_resolves_to_the_address(wire: SiteView, guest: Guest, expect: Expect) -> None:
    expect(f"A {guest.fqdn}", wire.addresses_of(guest.fqdn), (guest.nic.address.ip,), at=guest, do=ROUTER)


@pytest.mark.clause("network.dns")
def test_address_resolves_to_the_name(wire: SiteView, guest: Guest, expect: Expect) -> None:
    expect(f"PTR {guest.nic.address.ip}", wire.names_of(guest.nic.address.ip), (guest.fqdn,), at=guest, do=ROUTER)


@pytest.mark.clause("network.dns")
def test_aliases_resolve_to_the_address(
    alias_addresses: dict[str, set[IPv4Address]], guest: Guest, expect: Expect
) -> None:
    wanted = {alias: {guest.nic.address.ip} for alias in guest.cnames}
    expect(f"aliases of {guest.name}", alias_addresses, wanted, at=guest, do=ROUTER)


@pytest.mark.clause("network.reachable")
def test_ssh_answers_at_the_name(wire: SiteView, guest: Guest, expect: Expect) -> None:
    banners = {address: wire.ssh_banner(address, guest.ssh.port) for address in wire.addresses_of(guest.fqdn)}
    answers = bool(banners) and all((banner or "").startswith("SSH-") for banner in banners.values())
    expect.that(
        answers, f"SSH at {guest.fqdn}", banners, "a banner", at=guest, do=f"./invoke plan --guest {guest.name}"
    )


@pytest.mark.clause("network.core-router")
def test_routes_through_the_core_router(inside: GuestFacts, guest: Guest, contract: Contract, expect: Expect) -> None:
    expect(
        f"gateways inside {guest.name}",
        inside.gateways,
        (str(guest.nic.segment.gateway),),
        at=contract.router,
        do=ROUTER,
    )


@pytest.mark.clause("network.core-router")
def test_resolves_through_the_core_router(inside: GuestFacts, guest: Guest, contract: Contract, expect: Expect) -> None:
    expect(
        f"resolvers inside {guest.name}", inside.resolvers, (str(contract.router.dns),), at=contract.router, do=ROUTER
    )


@pytest.mark.clause("network.core-router")
def test_its_gateway_is_no_vm_here(
    inside: GuestFacts, vms: tuple[ObservedGuest, ...], guest: Guest, contract: Contract, expect: Expect
) -> None:
    behind = inside.mac_of_neighbour(guest.nic.segment.gateway)
    owners = [vm.name for vm in vms for nic in vm.nics.values() if nic.mac.lower() == behind]
    expect(f"VMs behind the gateway of {guest.name} ({behind})", owners, [], at=contract.router, do=ROUTER)


@pytest.mark.clause("network.core-router")
def test_answers_dhcp_alone(
    dhcp_servers: list[str], dhcp_server: str, guest_bridge: str, contract: Contract, expect: Expect
) -> None:
    todo = "Stop every other DHCP server there, and see that the core router's answers: ./invoke router.check"
    expect(f"DHCP servers on {guest_bridge}", dhcp_servers, [dhcp_server], at=contract.router, do=todo)


@pytest.mark.clause("network.core-router")
def test_core_router_is_no_vm_here(vms: tuple[ObservedGuest, ...], contract: Contract, expect: Expect) -> None:
    named = [vm.vmid for vm in vms if vm.name in (contract.router.name, f"{contract.router.name}.{contract.domain}")]
    expect(
        "VMs with the core router's name", named, [], at=contract.router, do="Run the core router on its own hardware"
    )


@pytest.mark.clause("network.no-core-services")
def test_listens_for_neither_dns_nor_dhcp(inside: GuestFacts, guest: Guest, expect: Expect) -> None:
    seen = [one for one in inside.listeners if one.port in CORE_PORTS and not one.loopback]
    expect(f"core services inside {guest.name}", seen, [], at=guest, do="Stop that service; the core router has it")


@pytest.mark.clause("network.no-core-services")
def test_forwards_no_packets(inside: GuestFacts, guest: Guest, expect: Expect) -> None:
    expect(f"forwarding inside {guest.name}", inside.forwards, (), at=guest, do="Set net.ipv4.ip_forward to 0 there")


@pytest.mark.clause("network.no-core-services")
def test_translates_no_addresses(inside: GuestFacts, guest: Guest, expect: Expect) -> None:
    expect(f"NAT rules inside {guest.name}", inside.translates, (), at=guest, do="Remove these rules there")


@pytest.mark.clause("network.no-core-services")
def test_declares_no_core_service(guest: Guest, expect: Expect) -> None:
    ports = [(one.unit, port) for one in guest.services for port in (*one.ports, *one.udp_ports)]
    seen = [f"{unit} on {port}" for unit, port in ports if port in CORE_PORTS]
    expect(f"core services declared for {guest.name}", seen, [], at=guest, do="Move it to the core router")


@pytest.mark.clause("network.bridge")
def test_is_on_its_bridge(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    seen = {(nic.bridge, nic.vlan_tag) for nic in vm.nics.values()}
    wanted = {(guest.nic.bridge, guest.nic.vlan_tag)}
    expect(f"bridge and tag of {guest.name}", seen, wanted, at=guest.nic, do=f"./invoke plan --guest {guest.name}")


@pytest.mark.clause("network.bridge")
def test_bridge_has_its_port(
    observed_bridge: ObservedBridge | None, bridge: Bridge, contract: Contract, expect: Expect
) -> None:
    seen, wanted = observed_bridge and observed_bridge.ports, (bridge.port,) if bridge.port else ()
    expect(f"ports of {bridge.name}", seen, wanted, at=contract.hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("network.bridge")
def test_bridge_is_up(
    observed_bridge: ObservedBridge | None, bridge: Bridge, contract: Contract, expect: Expect
) -> None:
    up = observed_bridge is not None and observed_bridge.active
    expect(f"{bridge.name} is up", up, True, at=contract.hypervisor, do=RAISE)
