"""Management here, tenants elsewhere, and every responsibility in somebody's hands."""

import pytest

from harness.contract import Guest, Hypervisor, Service
from harness.observed import ObservedGuest
from harness.verify.expect import Expect
from harness.verify.guest_facts import GuestFacts
from harness.verify.marks import CATEGORIES, category_tags
from harness.verify.site_view import SiteView

LOOK = "Look there with `systemctl status"


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


@pytest.mark.clause("service.healthy")
def test_its_services_are_declared(declared_units: tuple[str, ...], guest: Guest, expect: Expect) -> None:
    todo = "Declare a workload"
    expect.that(bool(declared_units), f"services of {guest.name}", declared_units, "some", at=guest, do=todo)


@pytest.mark.clause("service.healthy")
def test_unit_is_active(inside: GuestFacts, guest: Guest, service: Service, expect: Expect) -> None:
    unit, todo = inside.unit(service.unit), f"{LOOK} {service.unit}`"
    active = unit is not None and unit.is_loaded and unit.active == "active"
    expect.that(active, f"{service.said} on {guest.name}", unit, "active", at=service, do=todo)


@pytest.mark.clause("service.healthy")
def test_unit_starts_with_the_guest(inside: GuestFacts, guest: Guest, service: Service, expect: Expect) -> None:
    unit, todo = inside.unit(service.unit), f"There: systemctl enable {service.unit}"
    what, seen = f"start of {service.unit} with {guest.name}", unit and unit.file_state
    expect.that(unit is not None and unit.comes_back, what, seen, "enabled", at=service, do=todo)


@pytest.mark.clause("service.healthy")
def test_ports_are_open_to_others(inside: GuestFacts, guest: Guest, service: Service, expect: Expect) -> None:
    seen, todo = service.listens & inside.serves, f"{LOOK} {service.unit}`, and see what it binds to"
    expect(f"listening ports of {service.unit} on {guest.name}", seen, service.listens, at=service, do=todo)


@pytest.mark.clause("service.healthy")
def test_ports_take_connections(site: SiteView, guest: Guest, listening: Service, expect: Expect) -> None:
    seen, wanted = site.answering(guest, listening), frozenset(f"tcp {port}" for port in listening.ports)
    todo = f"{LOOK} {listening.unit}`, and at packet filters on the way"
    expect(f"ports of {listening.unit} that answer at {guest.nic.address.ip}", seen, wanted, at=listening, do=todo)


@pytest.mark.clause("service.healthy")
def test_health_address_answers(site: SiteView, guest: Guest, reporting: Service, expect: Expect) -> None:
    url, todo = str(reporting.health_url), f"{LOOK} {reporting.unit}`"
    seen = site.health(guest, url)
    expect.that(seen.startswith("2"), f"health of {guest.name} at {url}", seen, "200 OK", at=reporting, do=todo)
