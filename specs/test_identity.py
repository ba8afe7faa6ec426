"""Who a VM is was decided in the inventory, and it is the same everywhere."""

import pytest

from harness.contract import Contract, Guest, Hypervisor
from harness.observed import ObservedGuest
from harness.verify.expect import Expect
from harness.verify.guest_facts import GuestFacts

ANEW = "Delete the VM in PVE and make it anew: ./invoke provision --guest"


@pytest.mark.clause("identity.mac-namespace")
def test_mac_says_its_place(guest: Guest, mac_of_place: str, expect: Expect) -> None:
    expect(f"MAC of {guest.name}", guest.nic.mac, mac_of_place, at=guest.nic, do="./invoke inventory.mac")


@pytest.mark.clause("identity.mac-namespace")
def test_mac_is_local_and_unicast(guest: Guest, expect: Expect) -> None:
    seen, todo = f"{int(guest.nic.mac[:2], 16) & 3:02b} in {guest.nic.mac}", "./invoke inventory.mac"
    expect.that(seen.startswith("10"), "lowest bits of the first byte", seen, "10", at=guest.nic, do=todo)


@pytest.mark.clause("identity.mac-namespace")
def test_mac_is_nobody_elses(guest: Guest, other_owners: tuple[str, ...], expect: Expect) -> None:
    expect(f"others with the MAC {guest.nic.mac}", other_owners, (), at=guest.nic, do="./invoke inventory.mac")


@pytest.mark.clause("identity.mac-applied")
def test_is_configured_with_its_mac(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    seen = {slot: nic.mac.lower() for slot, nic in vm.nics.items()}
    todo = f"Set {guest.nic.slot} of VM {guest.vmid} back in PVE and restart the VM"
    expect(f"NICs of {guest.name}", seen, {guest.nic.slot: guest.nic.mac}, at=guest.nic, do=todo)


@pytest.mark.clause("identity.mac-applied")
def test_no_other_nic_waits_for_a_restart(waiting_nics: dict[str, str], guest: Guest, expect: Expect) -> None:
    todo = f"./invoke plan --guest {guest.name}"
    expect(f"NIC changes of {guest.name} that wait for a restart", waiting_nics, {}, at=guest.nic, do=todo)


@pytest.mark.clause("identity.mac-seen")
def test_sees_its_mac(inside: GuestFacts, guest: Guest, expect: Expect) -> None:
    seen, todo = inside.macs, f"./invoke plan --guest {guest.name}"
    expect.that(guest.nic.mac in seen, f"links inside {guest.name}", seen, guest.nic.mac, at=guest.nic, do=todo)


@pytest.mark.clause("identity.guest-unique")
def test_has_its_own_hostname(inside: GuestFacts, guest: Guest, expect: Expect) -> None:
    short = inside.hostname.partition(".")[0]
    expect(f"hostname inside {guest.name}", short, guest.name, at=guest, do=f"{ANEW} {guest.name}")


@pytest.mark.clause("identity.guest-unique")
def test_shares_no_machine_id(same_machine_id: tuple[str, ...], guest: Guest, expect: Expect) -> None:
    todo = f"{ANEW} {guest.name}"
    expect(f"guests with the machine-id of {guest.name}", same_machine_id, (), at=guest, do=todo)


@pytest.mark.clause("identity.guest-unique")
def test_shares_no_ssh_host_key(same_host_key: tuple[str, ...], guest: Guest, expect: Expect) -> None:
    todo = f"{ANEW} {guest.name}"
    expect(f"guests with an SSH host key of {guest.name}", same_host_key, (), at=guest, do=todo)


@pytest.mark.clause("identity.no-strangers")
def test_knows_every_vm_here(strangers: tuple[str, ...], hypervisor: Hypervisor, expect: Expect) -> None:
    todo = "Declare it, remove it, or list it under mgmt_site.exceptions with a reason and an end date"
    expect("undeclared on the hypervisor", strangers, (), at=hypervisor, do=todo)


@pytest.mark.clause("identity.no-strangers")
def test_exceptions_have_not_ended(ended_exceptions: tuple[str, ...], contract: Contract, expect: Expect) -> None:
    todo = "Remove the VM, or renew the exception"
    expect("exceptions past their end date", ended_exceptions, (), at=contract.hypervisor, do=todo)


@pytest.mark.clause("identity.no-strangers")
def test_knows_every_mac_on_the_segment(unknown_macs: tuple[str, ...], hypervisor: Hypervisor, expect: Expect) -> None:
    todo = "Find that machine; declare it in the inventory, or take it off the segment"
    expect("MACs on the segments of the VMs that nobody declared", unknown_macs, (), at=hypervisor, do=todo)
