"""Faults of the template, and of what provisioning made of it."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.ways import called, configured, declared, edited_behind_the_api

HOST = "host_vars/hv01.yml"
VMID, TEMPLATE = 130, 9000
FEDORA = ("template.fedora",)
NOTES = "mgmt-harness: site=lab guest={guest} template={template} build={build} mode=linked"


def notes(*, guest: str = "metrics-vm01", template: str = "fedora-lab-43", build: str = "lab-image-1") -> str:
    return NOTES.format(guest=guest, template=template, build=build)


FAULTS = (
    Fault(
        "a template of another system",
        FEDORA,
        "template: expected fedora, seen debian as fedora-lab-43",
        declared((HOST, "os: fedora", "os: debian")),
    ),
    Fault(
        "no template of that name",
        (*FEDORA, "identity.no-strangers"),
        "template fedora-lab-43: expected VM 9000 of that name, seen VM 9000 older",
        configured(TEMPLATE, name="older"),
    ),
    Fault(
        "a VM where the template should be",
        (*FEDORA, "identity.no-strangers"),
        "fedora-lab-43 is a template: expected yes, seen no",
        edited_behind_the_api(TEMPLATE, delete=("template",)),
    ),
    Fault(
        "the template's disk on another storage",
        FEDORA,
        "storage of the template: expected local-lvm, seen local",
        edited_behind_the_api(TEMPLATE, scsi0="local:9000/base-9000-disk-0.qcow2,size=2G"),
    ),
    Fault(
        "a template without guest agent",
        FEDORA,
        "guest agent of the template: expected yes, seen no",
        configured(TEMPLATE, agent="0"),
    ),
    Fault(
        "a template with an Intel NIC",
        FEDORA,
        "NIC model of the template: expected virtio, seen e1000",
        edited_behind_the_api(TEMPLATE, net0="e1000=BC:24:11:00:00:01,bridge=vmbr0"),
    ),
    Fault(
        "a template with an LSI controller",
        FEDORA,
        "virtio disk in the template: expected yes, seen no",
        edited_behind_the_api(TEMPLATE, scsihw="lsi"),
    ),
    Fault(
        "a template that nobody's factory made",
        FEDORA,
        "notes of the template: expected lab-image-1, seen made by hand",
        configured(TEMPLATE, description="made by hand"),
    ),
    Fault(
        "a template without the automation user",
        FEDORA,
        "users let in by key: expected robot, seen a_autoprov",
        declared((HOST, "user: a_autoprov", "user: robot")),
    ),
    Fault(
        "a VM that relies on cloud-init",
        FEDORA,
        "cloud-init keys of metrics-vm01: expected none, seen ciuser",
        configured(VMID, ciuser="root"),
    ),
    Fault(
        "a VM of another template",
        ("provision.from-template",),
        "template of metrics-vm01 in its notes: expected fedora-lab-43, seen ubuntu-24",
        configured(VMID, description=notes(template="ubuntu-24")),
    ),
    Fault(
        "a VM of an unknown build",
        ("provision.from-template",),
        "build of metrics-vm01 in its notes: expected a build, seen unmarked",
        configured(VMID, description=notes(build="unmarked")),
    ),
    Fault(
        "a VM that says it is another",
        ("provision.from-template", "provision.repeatable"),
        "site and guest in the notes of metrics-vm01: expected lab, metrics-vm01, seen lab, factory-vm01",
        configured(VMID, description=notes(guest="factory-vm01")),
    ),
    Fault(
        "a VM that was begun and never finished",
        ("provision.repeatable",),
        "changes of the next provision: expected none, seen finish metrics-vm01: half made by an earlier run",
        configured(VMID, description=f"{notes()}\nmgmt-harness: unfinished"),
    ),
    Fault(
        "a VM under Terraform",
        ("provision.no-terraform",),
        "managed by Terraform: expected none, seen VM 130 metrics-vm01",
        configured(VMID, tags="mgmt-harness;observability;terraform"),
    ),
    Fault(
        "a pool under OpenTofu",
        ("provision.no-terraform",),
        "managed by Terraform: expected none, seen pool mgmt",
        called("PUT", "/pools/mgmt", comment="Managed by OpenTofu"),
    ),
)
