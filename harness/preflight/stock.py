"""Judge whether the hypervisor has what the VMs are made of: templates, storages, memory, room. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Contract
from harness.observed import ObservedSite
from harness.plan import Refusal, diff
from harness.plan.fitness import unfit_for
from harness.plan.marks import build_of
from harness.plan.templates import cure, find_template
from harness.preflight.model import Finding, failed, note, ok


def judge_templates(contract: Contract, observed: ObservedSite) -> Iterator[Finding]:
    for template in contract.hypervisor.templates.values():
        found = find_template(contract, template, observed)
        if isinstance(found, Refusal):
            yield failed(found.reason, found.do)
        elif why := unfit_for(template, found.description):
            yield failed(f"template {found.name} ({found.vmid}) {why}", cure(contract, template, found))
        elif template.build_mark not in found.description:
            do = "Import a build of the image factory, or mend its build_mark in the inventory"
            yield note(f"template {found.name} (VM {found.vmid}) carries no {template.build_mark!r} in its notes", do)
        else:
            yield ok(f"{found.name} is VM {found.vmid}, build {build_of(template, found.description)}")


def judge_storages(contract: Contract, observed: ObservedSite) -> Iterator[Finding]:
    """Every declared storage is there, enabled and of its type."""
    seen = {storage.name: storage for storage in observed.storages}
    for declared in contract.hypervisor.storages:
        found = seen.get(declared.name)
        at = f"mgmt_hypervisor.storages ({contract.hypervisor.declared})"
        if found is None or not found.enabled:
            state = "not there" if found is None else "disabled"
            do = f"Set it up on the node (pvesm add {declared.type} {declared.name} ...), or mend {at}"
            if found is not None:
                do = f"Run {contract.invoke('bootstrap')}, or on the node: pvesm set {declared.name} --disable 0"
            yield failed(f"the storage {declared.name} is {state}", do)
        elif found.type != declared.type or found.shared:
            kind = f"{found.type}{', shared' if found.shared else ''}"
            yield failed(f"the storage {declared.name} is {kind}, declared is {declared.type}, local", f"Mend {at}")
        elif missing := declared.content - found.content:
            said = f"the storage {declared.name} does not take {', '.join(sorted(missing))}"
            yield failed(said, f"Run {contract.invoke('bootstrap')}: it sets the content types")
        else:
            free = "unknown" if found.available_bytes is None else f"{found.available_bytes / 2**30:.0f} GiB"
            yield ok(f"{declared.name} ({found.type}), {free} free")


def judge_plan(contract: Contract, observed: ObservedSite) -> Iterator[Finding]:
    """What `provision` would refuse: no room, no memory, a foreign VM under a declared number."""
    plan = diff(contract, observed)
    said_already = {finding.said for finding in judge_templates(contract, observed)}
    refusals = [refusal for refusal in plan.refusals if refusal.reason not in said_already]
    for refusal in refusals:
        yield failed(refusal.reason, refusal.do)
    for warning in plan.warnings:
        yield note(warning)
    if not refusals:
        yield ok(f"provision would make {len(plan.changes)} changes and refuse nothing")
