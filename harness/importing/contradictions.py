"""Say what of a live hypervisor stands against the contract, with the promise it breaks: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.identity import Namespace, parse_host_name
from harness.importing.found import Found
from harness.importing.writing import contradiction
from harness.observed import ObservedGuest
from harness.plan import parse_provenance
from harness.verify import marks

SERIES = "8.4"
# The prefix from which Proxmox VE draws the MAC of a NIC that was given none.
DRAWN = "bc:24:11:"


def of_node(found: Found, declared_version: str | None) -> Iterator[str]:
    """What is wrong with the machine as a whole."""
    cluster = found.cluster
    if cluster.cluster_name is not None or len(cluster.nodes) > 1:
        said = f"it is in the cluster {cluster.cluster_name} with {', '.join(sorted(cluster.nodes))}"
        yield contradiction("standalone.no-cluster", said)
    if cluster.ha_resources or cluster.ha_groups:
        said = ", ".join((*cluster.ha_resources, *cluster.ha_groups))
        yield contradiction("standalone.no-ha", f"HA is configured ({said})")
    if cluster.replication_jobs:
        yield contradiction("standalone.no-replication", f"jobs {', '.join(cluster.replication_jobs)}")
    for storage in found.storages:
        if not marks.is_local(storage):
            kind = f"{storage.type}{', shared' if storage.shared else ''}"
            said = f"the storage {storage.name} is {kind}; it is left out below"
            yield contradiction("storage.local-only", said)
    seen = found.node.pve_version
    if declared_version is not None and seen != declared_version:
        yield contradiction("platform.pve-version", f"{seen} is installed, declared is {declared_version}")
    elif declared_version is None and not seen.startswith(f"{SERIES}."):
        yield contradiction("platform.pve-version", f"{seen} is installed; this tool is for {SERIES}")
    yield from (
        contradiction("identity.no-strangers", f"container {vmid}; management services are VMs")
        for vmid in found.containers
    )


def of_template(template: ObservedGuest, found: Found) -> Iterator[str]:
    if not template.agent:
        yield contradiction("template.fedora", "its guest agent is off")
    if not marks.has_virtio_disk(template) or any(nic.model != "virtio" for nic in template.nics.values()):
        yield contradiction("template.fedora", "its disk or its NIC is not virtio")
    yield from _remote_disks(template, found)


def of_vm(vm: ObservedGuest, found: Found) -> Iterator[str]:
    """What is wrong with one VM, but for its MAC."""
    try:
        form = parse_host_name(vm.name or "").form
        if form != "vm":
            yield f"NAME: {vm.name} says the form {form}; a management VM is <role>-vmNN"
    except ValueError as expected:
        yield f"NAME: {vm.name or 'a VM without a name'} must be {expected}"
    if parse_provenance(vm.description) is None:
        yield contradiction("provision.from-template", "its notes do not say which template it was cloned from")
    if len(marks.category_tags(vm)) != 1:
        said = ", ".join(sorted(vm.tags)) or "none"
        yield contradiction("separation.category", f"no single category among its tags ({said})")
    if not vm.onboot or vm.start_order is None:
        yield contradiction("recovery.autostart", "it does not start with the hypervisor in a declared order")
    if not vm.protection:
        yield contradiction("recovery.protected", "it is not protected against deletion")
    if not vm.agent:
        yield "DIFFERS: its guest agent is off, and provision asks it for the VM's identity"
    yield from (contradiction("separation.no-tenants", mark) for mark in marks.tenant_marks([vm], []))
    yield from (contradiction("provision.no-terraform", mark) for mark in marks.terraform_marks([vm], []))
    yield from _nics(vm, found)
    yield from _remote_disks(vm, found)


def of_mac(mac: str | None, vm: ObservedGuest, found: Found, namespace: Namespace | None) -> str | None:
    """Why a live MAC cannot be declared; None when it can."""
    if mac is None:
        return "it has no NIC"
    twins = [f"VM {one.vmid}" for one in found.guests if one.vmid != vm.vmid and mac in _macs(one)]
    if twins:
        return f"{mac} is also the MAC of {', '.join(twins)}"
    if mac.startswith(DRAWN):
        return f"{mac} was drawn at random by Proxmox VE"
    if namespace is not None and not mac.startswith(f"{namespace.prefix}:"):
        return f"{mac} lies outside the namespace of management VMs ({namespace.prefix}:…)"
    return None


def _nics(vm: ObservedGuest, found: Found) -> Iterator[str]:
    if len(vm.nics) != 1:
        yield contradiction("network.bridge", f"it has {len(vm.nics)} NICs; a management VM has one")
    bridges = {bridge.name: bridge for bridge in found.bridges}
    for nic in vm.nics.values():
        if nic.bridge not in bridges:
            yield contradiction(
                "network.bridge", f"its {nic.slot} is on {nic.bridge or 'no bridge'}, which is not there"
            )
        elif not bridges[nic.bridge].ports:
            yield contradiction("network.bridge", f"its {nic.slot} is on {nic.bridge}, which has no physical port")


def _remote_disks(vm: ObservedGuest, found: Found) -> Iterator[str]:
    local = {storage.name for storage in found.storages if marks.is_local(storage)}
    elsewhere = sorted(marks.disk_storages(vm) - local)
    if elsewhere:
        yield contradiction("storage.local-only", f"it has disks on {', '.join(elsewhere)}")


def _macs(vm: ObservedGuest) -> Iterable[str]:
    return {nic.mac.lower() for nic in vm.nics.values()}
