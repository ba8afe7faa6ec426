"""The one VM that is made to prove something and removed again: whose it is, what it gets, and how it goes."""

from __future__ import annotations

from typing import Any

from harness.contract import Contract, Guest, Ssh, Template
from harness.engine.cloning import clone
from harness.engine.job import Job
from harness.errors import Invalid, Unsafe
from harness.observed import ObservedGuest
from harness.plan.diff import TEMPORARY
from harness.plan.marks import TAG, parse_provenance
from harness.pve import images, making, read, wire
from harness.templates.bench import Bench
from harness.templates.sending import carry_out, settle

SCRATCH_TAG = "scratch"
MINUTE_S = 60.0


def scratch_guest(contract: Contract, template: Template) -> Guest:
    """The test clone as a guest: its network identity is the declared scratch host's."""
    if contract.scratch is None or contract.scratch_vmid is None:
        raise Invalid(
            tried="test a template",
            on=template.name,
            happened="the inventory declares no scratch VM to test it on",
            do="Declare mgmt_site.scratch_vmid, and mgmt_site.scratch_host: a host with a MAC and a DHCP reservation",
        )
    # The automation user's key: of the VMs that are to be made of it, or of the others while there are none.
    users = sorted(contract.guests, key=lambda guest: guest.template != template.key)
    own = users[0].ssh if users else None
    return Guest(
        name=contract.scratch.name,
        fqdn=f"{contract.scratch.name}.{contract.domain}",
        vmid=contract.scratch_vmid,
        category="automation",
        responsibilities=(),
        template=template.key,
        clone="auto",
        storage=None,
        memory_mib=0,  # as the template has it
        cores=0,
        nic=contract.scratch.nic,
        cnames=(),
        start_order=0,
        start_delay_s=None,
        services=(),
        ssh=Ssh(template.user, own.port if own else 22, own.identity_file if own else None, None),
        declared=template.declared,
    )


def configure(bench: Bench, guest: Guest) -> ObservedGuest:
    """Its MAC, no more processors than the node has, and nothing that would let it outlive the test."""
    threads = read.read_node(bench.reader, bench.node).cpu_threads
    return settle(
        bench.writer,
        bench.node,
        guest.vmid,
        lambda vm: _wanted(guest, vm, threads),
        tried="configure the test clone",
        on=guest.name,
    )


def _wanted(guest: Guest, vm: ObservedGuest, threads: int) -> dict[str, Any]:
    slot, present = guest.nic.slot, str(vm.config.get(guest.nic.slot, ""))
    seen = vm.nics.get(slot)
    same = seen is not None and (seen.mac, seen.bridge) == (guest.nic.mac, guest.nic.bridge)
    tags = frozenset({TAG, SCRATCH_TAG})
    wanted: dict[str, tuple[Any, bool]] = {
        "name": (guest.name, vm.name != guest.name),
        slot: (wire.render_nic(guest.nic, present), not same),
        "onboot": (False, vm.onboot),
        "protection": (False, vm.protection),
        "tags": (wire.render_tags(tags), vm.tags != tags),
    }
    changes = {key: value for key, (value, differs) in wanted.items() if differs}
    # PVE starts nothing with more; that is no fault of the template's.
    return changes | ({"cores": threads, "sockets": 1} if vm.cores > threads else {})


def clear(bench: Bench, job: Job) -> None:
    """Nothing has the scratch VMID afterwards; what is not a scratch VM of this site is never touched."""
    guest = job.guest
    vm = _find(bench, guest)
    if vm is None:
        return
    if vm.lock == "clone" or TEMPORARY in vm.description:
        vm = clone(job)  # an earlier run's: what is in flight ends first, and a dead half says what to do
    provenance = parse_provenance(vm.description)
    if provenance is None or (provenance.site, provenance.guest) != (bench.contract.site, guest.name):
        raise Unsafe(
            tried="make the test clone",
            on=f"VM {guest.vmid}",
            happened=f"the VMID is taken by {vm.name or 'a VM without a name'}, which is no scratch VM of this site",
            do=f"Move or remove VM {guest.vmid}, or declare another mgmt_site.scratch_vmid",
        )
    _stop(bench, guest)
    if vm.protection:
        settle(bench.writer, bench.node, guest.vmid, _unprotected, tried="remove the test clone", on=guest.name)
    _destroy(bench, guest)


def _unprotected(vm: ObservedGuest) -> dict[str, Any]:
    return {"protection": False} if vm.protection else {}


def _find(bench: Bench, guest: Guest) -> ObservedGuest | None:
    vm = read.read_guest(bench.reader, bench.node, guest.vmid)
    if vm is None and read.vmid_is_taken(bench.reader, guest.vmid):
        raise Unsafe(
            tried="make the test clone",
            on=f"VM {guest.vmid}",
            happened="the VMID is in use by something that is no VM",
            do="Declare another mgmt_site.scratch_vmid",
        )
    return vm


def _stop(bench: Bench, guest: Guest) -> None:
    def is_stopped() -> bool:
        vm = read.read_guest(bench.reader, bench.node, guest.vmid)
        return vm is None or vm.status == "stopped"

    if is_stopped():
        return
    bench.journal.write(guest.name, guest.vmid, "stop")
    carry_out(
        bench,
        lambda: making.stop(bench.writer, bench.node, guest.vmid),
        tried="stop the test clone",
        on=guest.name,
        running=lambda: images.running(bench.writer, bench.node, "qmstop", guest.vmid),
        is_done=is_stopped,
        deadline_s=MINUTE_S,
    )


def _destroy(bench: Bench, guest: Guest) -> None:
    bench.journal.write(guest.name, guest.vmid, "destroy-scratch")
    carry_out(
        bench,
        lambda: making.destroy(bench.writer, bench.node, guest.vmid, purge=True),
        tried="remove the test clone",
        on=guest.name,
        running=lambda: images.running(bench.writer, bench.node, "qmdestroy", guest.vmid),
        is_done=lambda: read.read_guest(bench.reader, bench.node, guest.vmid) is None,
        deadline_s=5 * MINUTE_S,
    )
    bench.journal.write(guest.name, guest.vmid, "destroyed-scratch")
