"""List the templates of a site: those that are there, those that are declared, and whether they may be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.contract import Contract, Template
from harness.observed import ObservedGuest, ObservedSite
from harness.plan.changes import Refusal
from harness.plan.fitness import is_untested, parse_trial, unfit_for
from harness.plan.marks import parse_provenance
from harness.plan.templates import data_disks, disk_bytes, find_template


@dataclass(frozen=True)
class Row:
    """One template; `vmid` is None for one that is declared and cannot be found, `key` for one that is not declared."""

    key: str | None
    name: str
    vmid: int | None
    storage: str
    disk_bytes: int
    state: str  # in words
    usable: bool
    guests: tuple[str, ...]  # the VMs that say they were cloned from it


def list_templates(contract: Contract, observed: ObservedSite) -> list[Row]:
    """The declared ones in their order, then the others."""
    declared = list(contract.hypervisor.templates.values())
    rows = [_declared_row(contract, template, observed) for template in declared]
    shown = {row.vmid for row in rows}
    others = (vm for vm in observed.guests if vm.template and vm.vmid not in shown)
    return [*rows, *(_row(None, vm, "not declared", False, observed) for vm in others)]


def _declared_row(contract: Contract, template: Template, observed: ObservedSite) -> Row:
    vm = find_template(contract, template, observed)
    if isinstance(vm, Refusal):
        return Row(template.key, template.name, None, template.storage, 0, vm.reason, False, ())
    why = unfit_for(template, vm.description)
    return _row(template.key, vm, why or _said(template, vm), why is None, observed)


def _said(template: Template, vm: ObservedGuest) -> str:
    tested = parse_trial(vm.description)
    mark = "" if template.build_mark in vm.description else f", without the build mark {template.build_mark!r}"
    if tested is None or is_untested(vm.description):
        return f"never tested by this tool{mark}"
    accepted = f", accepted: {', '.join(tested.failed)}" if tested.failed else ""
    return f"tested {tested.on}{accepted}{mark}"


def _row(key: str | None, vm: ObservedGuest, state: str, usable: bool, observed: ObservedSite) -> Row:
    name = vm.name or f"VM {vm.vmid}"
    storages = ", ".join(sorted({text.partition(":")[0] for text in data_disks(vm).values()}))
    return Row(key, name, vm.vmid, storages, disk_bytes(vm), state, usable, tuple(_clones(name, observed)))


def _clones(template: str, observed: ObservedSite) -> Iterator[str]:
    for vm in observed.guests:
        provenance = parse_provenance(vm.description)
        if provenance is not None and provenance.template == template and not vm.template:
            yield provenance.guest
