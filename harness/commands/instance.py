"""Bring the nested Proxmox VM of a site up and down, and say how it is."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from harness import instance, lab, nested
from harness.commands.front import front
from harness.commands.nested import nested_of, spec_of
from harness.commands.setup import install_missing
from harness.contract import Contract
from harness.errors import Missing
from harness.instance import Status
from harness.interrupts import as_interrupts
from harness.nested import programs
from harness.printing import console
from harness.site import open_contract


@front
def up(inventory: Path, site: str) -> int:
    """Start the golden disk's overlay and wait for its API."""
    out = console()
    contract = open_contract(inventory, site)
    lab.require_root(tried="start a nested VM")
    install_missing(out)
    lab.require()
    firmware = nested_of(contract).machine.firmware
    install_missing(out, nested.missing_packages(firmware), "the nested VM needs")
    programs.require(firmware, tried="start a nested VM")
    golden = _golden(contract)
    with as_interrupts():  # a polite kill leaves nothing behind either
        instance.up(contract, golden, lambda text: out.print(f"nested: {text}", markup=False))
    show(instance.status(site), out)
    return 0


@front
def down(site: str) -> int:
    """Take it down; a site that has none is no error."""
    lab.require_root(tried="take the nested VM down")
    instance.down(site, console().print)
    return 0


@front
def status(site: str, *, as_json: bool) -> int:
    """Say whether it is up and how to reach it."""
    lab.require_root(tried="look at the nested VM")
    found = instance.status(site)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        show(found, console())
    return 0


def _golden(contract: Contract) -> nested.Golden:
    golden = nested.find_golden(spec_of(contract))
    if golden is None:
        raise Missing(
            tried="start the nested VM",
            on=f"site {contract.site}",
            happened="its golden disk has not been built from what the inventory now says",
            do=f"Build it: ./invoke nested.build --site {contract.site}",
        )
    return golden


def show(found: Status, out: Console) -> None:
    record = found.record
    if record is None or not found.up:
        out.print(f"The nested VM of site {found.site} is {found.state}.", markup=False)
        out.print(f"Bring it up: ./invoke nested.up --site {found.site}", markup=False)
        return
    how = "KVM" if record.accelerator == "kvm" else "emulation, which is slow"
    out.print(f"The nested VM of site {found.site} is {found.state} ({how}, pid {found.pid})", markup=False)
    out.print(
        f"  {record.hypervisor:<18} {record.address}, PVE {record.version}, up in {record.seconds} s", markup=False
    )
    out.print(f"  {record.url}, fingerprint {record.fingerprint}", markup=False)
    out.print(f"  golden disk {record.golden}, {found.overlay_bytes / 2**20:.0f} MiB written since", markup=False)
    for lease in found.leases:
        out.print(f"  {lease.name:<18} {lease.address}, {lease.mac}", markup=False)
    out.print(f"Its console: {found.serial_log}", markup=False)
