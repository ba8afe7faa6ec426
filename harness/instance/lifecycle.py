"""Bring the nested Proxmox VM of a site up, whatever an earlier run left, and take it down so that nothing is left."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness import lab, nested
from harness.contract import Contract, NestedMachine
from harness.errors import HarnessError, Invalid, Missing
from harness.former import forget_former
from harness.instance import launching, room
from harness.instance.nesting import nesting_warning
from harness.instance.network import spec_of
from harness.instance.place import lock_of, place_of, serial_log_of
from harness.instance.ready import wait_ready
from harness.instance.record import Record, promised_mib, read_record, write_record
from harness.instance.status import is_whole
from harness.instance.uplink import start_uplink
from harness.lab import Place
from harness.nested.accelerator import choose
from harness.remote.known_hosts import parse_key, pin

Progress = Callable[[str], None]


def up(contract: Contract, golden: nested.Golden, progress: Progress) -> Record:
    """The site's nested VM on a fresh overlay, answering; nothing is done when it runs already."""
    declared = contract.nested
    if declared is None:
        raise Invalid(
            tried="start a nested VM",
            on=f"site {contract.site}",
            happened="its inventory declares none",
            do="Use --site nested, or describe mgmt_nested in group_vars/all",
        )
    place = place_of(contract.site)
    with lab.one_at_a_time(lock_of(contract.site), f"the nested VM of site {contract.site}"):
        record = read_record(place.state)
        if record is not None and is_whole(place, record) and record.golden == golden.key:
            progress("The nested VM is up already")
            return record
        if place.state.exists():
            progress("The nested VM that is there is broken or another one: making it anew")
        lab.end_segment(place)
        here = room.look(place.state, promised_mib(contract.site))
        room.require(here, declared.machine, site=contract.site)
        for warning in room.warnings(here, declared.machine):
            progress(f"note: {warning}")
        try:
            return _make(contract, golden, declared.machine, place, progress)
        except BaseException as error:  # Ctrl-C too: half a site is of no use to anybody
            _remove(place, error)
            raise


def down(site: str, progress: Progress) -> None:
    """No process, namespace, control group, link or file of the site's nested VM is left; the golden disk is."""
    place = place_of(site)
    with lab.one_at_a_time(lock_of(site), f"the nested VM of site {site}"):
        progress(f"Taking the nested VM of site {site} down")
        lab.end_segment(place)


def _make(
    contract: Contract, golden: nested.Golden, machine: NestedMachine, place: Place, progress: Progress
) -> Record:
    accelerator = choose()
    for warning in filter(None, (accelerator.warning, nesting_warning(accelerator))):
        progress(f"note: {warning}")
    began = time.monotonic()
    spec, name = spec_of(contract), contract.hypervisor.name
    forget_former(contract)
    place.state.mkdir(mode=0o700, parents=True)
    router_key = lab.start_segment(spec, place, _public_key(contract), progress=progress)
    start_uplink(place, place.machines / spec.router.name)
    _pin_host_keys(contract, golden, router_key)
    progress(f"Starting {name} by {accelerator.name} on an overlay of the golden disk {golden.key}")
    serial = serial_log_of(contract.site)
    folder = launching.start(place, launching.Launch(name, golden, machine, accelerator, serial))
    ready = wait_ready(contract, folder, serial, patience=accelerator.patience, say=progress)
    record = Record(
        site=contract.site,
        golden=golden.key,
        accelerator=accelerator.name,
        memory_mib=machine.memory_mib,
        hypervisor=name,
        router=spec.router.name,
        address=str(contract.hypervisor.address),
        url=contract.hypervisor.api.url,
        version=ready.version,
        fingerprint=ready.fingerprint,
        seconds=round(time.monotonic() - began, 1),
    )
    write_record(place, record)
    return record


def _public_key(contract: Contract) -> str:
    """The one that the installer was given."""
    identity = contract.hypervisor.ssh.identity_file
    public = identity.with_name(f"{identity.name}.pub") if identity else None
    if public is None or not public.exists():
        raise Missing(
            tried="start the nested VM",
            on=f"site {contract.site}",
            happened=f"there is no public key {public or '(mgmt_hypervisor.ssh.identity_file is not declared)'}",
            do=f"Build the golden disk, which makes it: {contract.invoke('nested.build')}",
        )
    return public.read_text()


def _pin_host_keys(contract: Contract, golden: nested.Golden, router_key: str) -> None:
    """Known before the first contact: the installer told the hypervisor's, and the router's has just been made."""
    hypervisor, router = contract.hypervisor, contract.router
    kept = contract.state_dir / "known_hosts"
    keys = [parse_key(key) for key in golden.installed.host_keys]
    pin(hypervisor.ssh.known_hosts or kept, hypervisor.name, str(hypervisor.address), keys)
    named = router.ssh.known_hosts if router.ssh else None
    pin(named or kept, router.name, str(router.address), [parse_key(router_key)])


def _remove(place: Place, error: BaseException) -> None:
    try:
        lab.end_segment(place)
    except HarnessError as left:
        error.add_note(str(left))
