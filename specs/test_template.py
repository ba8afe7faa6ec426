"""Management VMs are clones of the declared template, made by provisioning and by nothing else."""

import pytest

from harness.contract import Contract, Guest, Hypervisor, Template
from harness.observed import ObservedGuest
from harness.plan import Plan, parse_provenance
from harness.plan.marks import UNMARKED_BUILD
from harness.verify.expect import Expect
from harness.verify.marks import cloud_init_keys, disk_storages, has_virtio_disk

IMPORT = "Import the template into the hypervisor's local storage"
ANEW = "Delete the VM in PVE and make it anew: ./invoke provision --guest"


@pytest.mark.clause("template.fedora")
def test_is_fedora(stored_template: ObservedGuest, template: Template, expect: Expect) -> None:
    named = template.os == "fedora" and "fedora" in str(stored_template.name)
    expect.that(named, "template", f"{template.os} as {stored_template.name}", "fedora", at=template, do=IMPORT)


@pytest.mark.clause("template.fedora")
def test_is_a_template(stored_template: ObservedGuest, template: Template, expect: Expect) -> None:
    todo = f"Convert VM {stored_template.vmid} to a template"
    expect(f"{template.name} is a template", stored_template.template, True, at=template, do=todo)


@pytest.mark.clause("template.fedora")
def test_lies_on_its_local_storage(
    stored_template: ObservedGuest, template: Template, local_storages: frozenset[str], expect: Expect
) -> None:
    seen, wanted = disk_storages(stored_template), frozenset({template.storage})
    expect.that(seen == wanted <= local_storages, "storage of the template", seen, wanted, at=template, do=IMPORT)


@pytest.mark.clause("template.fedora")
def test_has_the_guest_agent_on(stored_template: ObservedGuest, template: Template, expect: Expect) -> None:
    expect("guest agent of the template", stored_template.agent, True, at=template, do=IMPORT)


@pytest.mark.clause("template.fedora")
def test_has_a_virtio_nic(stored_template: ObservedGuest, template: Template, expect: Expect) -> None:
    models = {nic.model for nic in stored_template.nics.values()}
    expect("NIC model of the template", models, {"virtio"}, at=template, do=IMPORT)


@pytest.mark.clause("template.fedora")
def test_has_a_virtio_disk(stored_template: ObservedGuest, template: Template, expect: Expect) -> None:
    expect("virtio disk in the template", has_virtio_disk(stored_template), True, at=template, do=IMPORT)


@pytest.mark.clause("template.fedora")
def test_carries_the_build_mark(stored_template: ObservedGuest, template: Template, expect: Expect) -> None:
    marked = template.build_mark in stored_template.description
    expect.that(
        marked, "notes of the template", stored_template.description, template.build_mark, at=template, do=IMPORT
    )


@pytest.mark.clause("template.fedora")
def test_lets_the_automation_user_in(automation_users: tuple[str, ...], template: Template, expect: Expect) -> None:
    let_in = template.user in automation_users
    expect.that(let_in, "users let in by key", automation_users, template.user, at=template, do=IMPORT)


@pytest.mark.clause("template.fedora")
def test_relies_on_no_cloud_init(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    todo = f"Delete these keys from VM {guest.vmid}"
    expect(f"cloud-init keys of {guest.name}", cloud_init_keys(vm), (), at=guest, do=todo)


@pytest.mark.clause("provision.from-template")
def test_notes_name_a_declared_template(
    vm: ObservedGuest, guest: Guest, hypervisor: Hypervisor, expect: Expect
) -> None:
    origin, declared = parse_provenance(vm.description), hypervisor.templates[guest.template].name
    todo = f"{ANEW} {guest.name}"
    expect(f"template of {guest.name} in its notes", origin and origin.template, declared, at=guest, do=todo)


@pytest.mark.clause("provision.from-template")
def test_notes_name_the_build(vm: ObservedGuest, guest: Guest, expect: Expect) -> None:
    origin, todo = parse_provenance(vm.description), f"{ANEW} {guest.name}"
    marked = origin is not None and origin.build not in ("", UNMARKED_BUILD)
    expect.that(marked, f"build of {guest.name} in its notes", origin and origin.build, "a build", at=guest, do=todo)


@pytest.mark.clause("provision.from-template")
def test_notes_are_its_own(vm: ObservedGuest, guest: Guest, contract: Contract, expect: Expect) -> None:
    origin, todo = parse_provenance(vm.description), f"{ANEW} {guest.name}"
    seen = origin and (origin.site, origin.guest)
    expect(f"site and guest in the notes of {guest.name}", seen, (contract.site, guest.name), at=guest, do=todo)


@pytest.mark.clause("provision.repeatable")
def test_would_change_nothing(plan: Plan, hypervisor: Hypervisor, expect: Expect) -> None:
    changes = [f"{change.kind} {change.guest}: {change.detail}" for change in plan.changes]
    expect("changes of the next provision", changes, [], at=hypervisor, do="./invoke provision")


@pytest.mark.clause("provision.repeatable")
def test_would_not_be_refused(plan: Plan, hypervisor: Hypervisor, expect: Expect) -> None:
    expect(
        "refusals of the next provision", [one.reason for one in plan.refusals], [], at=hypervisor, do="./invoke plan"
    )


@pytest.mark.clause("provision.no-terraform")
def test_nothing_bears_a_mark_of_terraform(
    terraformed: tuple[str, ...], hypervisor: Hypervisor, expect: Expect
) -> None:
    todo = "Take it out of Terraform's state, then remove its tag and comment"
    expect("managed by Terraform", terraformed, (), at=hypervisor, do=todo)
