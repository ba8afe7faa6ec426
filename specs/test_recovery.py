"""Management VMs come back by themselves, and are not lost by a slip of the hand.

What only doing it can show is done by `./invoke drill`, never here: a spec holds the last drill to its promise.
"""

import pytest

from harness.contract import Guest
from harness.observed import ObservedGuest
from harness.verify.drilled import Drilled
from harness.verify.expect import Expect

PLAN = "./invoke plan --guest"


@pytest.mark.clause("recovery.autostart")
def test_starts_with_the_hypervisor(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    expect(f"start of {guest.name} with the hypervisor", vm.onboot, True, at=guest, do=f"{PLAN} {guest.name}")


@pytest.mark.clause("recovery.autostart")
def test_starts_at_its_place(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    seen, declared = (vm.start_order, vm.start_delay_s), (guest.start_order, guest.start_delay_s)
    expect(f"start order and delay of {guest.name}", seen, declared, at=guest, do=f"{PLAN} {guest.name}")


@pytest.mark.clause("recovery.protected")
def test_is_protected(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    expect(f"protection of {guest.name}", vm.protection, True, at=guest, do=f"{PLAN} {guest.name}")


@pytest.mark.clause("recovery.reboot")
def test_everything_came_back_after_the_last_restart(drilled: Drilled) -> None:
    drilled.shows("reboot")


@pytest.mark.clause("recovery.tenant-loss")
def test_nothing_missed_the_tenant_hypervisor_when_it_was_cut_off(drilled: Drilled) -> None:
    drilled.shows("tenant-loss")


@pytest.mark.clause("recovery.router-alone")
def test_the_router_served_on_alone(drilled: Drilled) -> None:
    drilled.shows("router-alone")


@pytest.mark.clause("recovery.rebuild")
def test_a_vm_was_built_again_as_itself(drilled: Drilled) -> None:
    drilled.shows("rebuild")


@pytest.mark.clause("backup.restorable")
def test_a_backup_booted_beside_its_vm(drilled: Drilled) -> None:
    drilled.shows("restore")
