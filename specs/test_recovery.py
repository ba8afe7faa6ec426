"""Management VMs come back by themselves, and are not lost by a slip of the hand."""

import pytest

from harness.contract import Guest
from harness.observed import ObservedGuest
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
