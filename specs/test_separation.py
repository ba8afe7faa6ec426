"""Management here, tenants elsewhere, and every responsibility in somebody's hands."""

import pytest

from harness.contract import Guest, Hypervisor
from harness.observed import ObservedGuest
from harness.verify.expect import Expect
from harness.verify.marks import CATEGORIES, category_tags


@pytest.mark.clause("separation.category")
def test_is_declared_with_one_category(guest: Guest, expect: Expect) -> None:
    todo = "Set mgmt_vm.category"
    expect.that(
        guest.category in CATEGORIES, f"category of {guest.name}", guest.category, CATEGORIES, at=guest, do=todo
    )


@pytest.mark.clause("separation.category")
def test_is_tagged_with_that_category_alone(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    todo, seen = f"./invoke plan --guest {guest.name}", category_tags(vm)
    expect(f"category tags of {guest.name}", seen, {guest.category}, at=guest, do=todo)


@pytest.mark.clause("separation.coverage")
def test_is_carried_or_planned(
    responsibility: str, carriers: tuple[str, ...], hypervisor: Hypervisor, expect: Expect
) -> None:
    todo = "Give it to a VM (mgmt_vm.responsibilities), or list it under mgmt_site.planned with the reason"
    expect.that(bool(carriers), f"who carries {responsibility}", carriers, "a VM or a plan", at=hypervisor, do=todo)


@pytest.mark.clause("separation.no-tenants")
def test_hypervisor_bears_no_tenant(tenanted: tuple[str, ...], hypervisor: Hypervisor, expect: Expect) -> None:
    expect("marked as a tenant's", tenanted, (), at=hypervisor, do="Move it to the tenant hypervisor")


@pytest.mark.clause("separation.no-tenants")
def test_storages_need_no_tenant_hypervisor(
    tenant_storages: tuple[str, ...], hypervisor: Hypervisor, expect: Expect
) -> None:
    expect("storages on the tenant hypervisor", tenant_storages, (), at=hypervisor, do="Use local storage")


@pytest.mark.clause("separation.no-tenants")
def test_guest_needs_no_tenant_hypervisor(tenant_lines: tuple[str, ...], guest: Guest, expect: Expect) -> None:
    todo = f"Take it out of {guest.name}"
    expect(
        f"routes, resolvers, mounts and names of the tenant hypervisor inside {guest.name}",
        tenant_lines,
        (),
        at=guest,
        do=todo,
    )
