"""Build a guest anew as itself: same VMID, MAC, address, name and backup jobs; all checked before the first change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Set
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace

from harness.contract import Contract, Guest
from harness.engine.events import GuestResult, Report
from harness.engine.job import Job, Shared
from harness.engine.looks import GuestLooks
from harness.engine.observe import observe
from harness.engine.privileges import TAKING_DOWN, check_privileges, on_guest, require
from harness.engine.provision import build, refuse
from harness.engine.quiet import changing, guest_named, require_ours, require_quiet, settle
from harness.engine.saved import require_young_backup
from harness.engine.taking_down import delete, taken_down
from harness.errors import HarnessError, Unsafe
from harness.journal import journal_of
from harness.observed import ObservedGuest, ObservedSite, TakenApart
from harness.plan import Change, Plan, Refusal, diff
from harness.plan.losses import data_disks, said_age, said_disks
from harness.plan.templates import find_template
from harness.pve.belongings import Belongings, read_belongings, write_firewall_options
from harness.pve.client import Client, Writer

TO = "rebuild"


@dataclass(frozen=True)
class Done:
    """What became of one guest; `notes` is what there is to know of it beside its result."""

    result: GuestResult
    notes: tuple[str, ...]
    writes: int
    seconds: float


def rebuild(
    contract: Contract,
    client: Writer,
    *,
    name: str,
    looks: GuestLooks,
    report: Report,
    reader: Client,
    without_backup: bool = False,
    agent_grace_s: float = 15.0,
    ready: Callable[[Set[str]], None] | None = None,
    agree: Callable[[str], bool] = lambda _: True,
    locked: bool = False,
) -> Done | None:
    """The guest built anew; None when `agree`, told what will be lost, said no.

    `reader` audits the whole node. A run that was cut off is gone on with, wherever it ended. With `locked` the caller
    holds the site's lock.
    """
    began = time.monotonic()
    guest = guest_named(contract, name, to=TO)
    with nullcontext() if locked else changing(contract, looks, report):
        journal = journal_of(contract)
        apart = settle(client, contract.hypervisor.node, journal, guest.vmid).get(guest.vmid)
        observed = observe(contract, reader)
        vm = next((vm for vm in observed.guests if vm.vmid == guest.vmid), None)
        shared = Shared(contract, client, looks, journal, report, agent_grace_s)
        if vm is None or (apart is not None and apart.renewed):
            job, before = _go_on(shared, guest, observed, apart, reader)
            down: list[ObservedGuest] = []
        else:
            job, lost = _checked(shared, guest, vm, observed, reader, without_backup=without_backup)
            if ready is not None:
                ready({guest.name})
            if not agree(lost):
                return None
            before = read_belongings(reader, job.node, guest.vmid, contract.hypervisor.pool)
            _require_rules_gone(job, before)
            job.remember("rebuild", before=json.dumps(asdict(before)))
            down = [vm]
        for present in down:
            with taken_down(job, present):
                delete(job, purge=False)
        build(job)
        job.result.outcome = "rebuilt"
        notes = tuple(_compare(job, reader, before, ready))
    return Done(job.result, notes, client.counts.writes, time.monotonic() - began)


def _go_on(
    shared: Shared, guest: Guest, observed: ObservedSite, apart: TakenApart | None, reader: Client
) -> tuple[Job, Belongings | None]:
    """The VM is gone already, or the new one is half made: by an earlier run of ours, or not by us."""
    contract = shared.contract
    if apart is None:
        raise Unsafe(
            tried=TO,
            on=f"{guest.name} (VM {guest.vmid})",
            happened="there is no such VM on the hypervisor; nothing was changed",
            do=f"Make it: {contract.invoke(f'provision --guest {guest.name}')}",
        )
    plan = diff(contract, observed, {guest.name})
    refuse(plan, contract)
    check_privileges(contract, plan, shared.writer, reader)
    change = plan.changes[0] if plan.changes else Change(guest.name, guest.vmid, "finish", "it is there", None)
    job = Job(shared, guest, change, GuestResult(guest.name, guest.vmid))
    job.note("check", f"an earlier {apart.by} was cut off: going on from there")
    said = apart.line.get("before")
    return job, Belongings(**json.loads(str(said))) if said else None


def _checked(
    shared: Shared, guest: Guest, vm: ObservedGuest, observed: ObservedSite, reader: Client, *, without_backup: bool
) -> tuple[Job, str]:
    """Everything that could stand in the way is looked at before the first change; with it, what will be lost."""
    contract, client = shared.contract, shared.writer
    require_ours(contract, guest, vm, to=TO)
    plan = _plan_without(contract, guest, observed)
    refuse(plan, contract)
    require(contract, on_guest(contract, guest, *TAKING_DOWN), client, reader, to=TO)
    check_privileges(contract, plan, client, reader)
    require_quiet(client, contract.hypervisor.node, vm, to=TO)
    _require_no_data(contract, guest, vm, observed)
    lost = "what is on its disks is lost: no backup was asked for"
    if not without_backup:
        kept = require_young_backup(contract, client, guest, vm, to=TO)
        lost = f"what changed since the backup of {said_age(kept.age_s)} ago ({kept.volid}) is lost"
    job = Job(shared, guest, plan.changes[0], GuestResult(guest.name, guest.vmid))
    with job.step("check", lost):
        return job, lost


def _plan_without(contract: Contract, guest: Guest, observed: ObservedSite) -> Plan:
    """What will be done once the VM is gone, judged while it is still there."""
    others = tuple(vm for vm in observed.guests if vm.vmid != guest.vmid)
    return diff(contract, replace(observed, guests=others, apart={}), {guest.name})


def _require_no_data(contract: Contract, guest: Guest, vm: ObservedGuest, observed: ObservedSite) -> None:
    template = find_template(contract, contract.hypervisor.templates[guest.template], observed)
    data = data_disks(guest, vm, None if isinstance(template, Refusal) else template)
    if data:
        raise Unsafe(
            tried=TO,
            on=f"{guest.name} (VM {guest.vmid})",
            happened=f"it has disks of its own, which a new clone would not have: {said_disks(sorted(data.items()))}; "
            "nothing was changed",
            do=f"Move the data away, or declare mgmt_vm.ephemeral_disks: [{', '.join(sorted(data))}] in "
            f"{guest.declared}",
        )


def _require_rules_gone(job: Job, before: Belongings) -> None:
    """PVE deletes a VM's firewall with it. Its options are written back; rules have an order and names of their own."""
    if before.firewall_rules != "[]" or before.access != "[]":
        what = "firewall rules of its own" if before.firewall_rules != "[]" else "entries of the access list on it"
        raise Unsafe(
            tried=TO,
            on=job.on,
            happened=f"PVE deletes {what} with the VM ({before.firewall_rules} {before.access}); nothing was changed",
            do="Take them off and put them back afterwards, or give them to the pool or the node instead",
        )


def _compare(
    job: Job, reader: Client, before: Belongings | None, ready: Callable[[Set[str]], None] | None
) -> list[str]:
    """Nothing around the VM has changed; what its own configuration must be, `build` has read back."""
    pool = job.shared.contract.hypervisor.pool
    with job.step("compare", "backup jobs, pool, firewall and reservation are what they were"):
        if before is None:
            return ["what belonged to the VM before is not known: the run that took it down did not note it"]
        after = read_belongings(reader, job.node, job.guest.vmid, pool)
        if after.firewall_options != before.firewall_options:
            job.remember("firewall")
            write_firewall_options(job.writer, job.node, job.guest.vmid, before.firewall_options)
            after = read_belongings(reader, job.node, job.guest.vmid, pool)
        if ready is not None:
            ready({job.guest.name})
        if different := before.differences(after):
            raise HarnessError(
                tried=TO,
                on=job.on,
                happened=f"it is built and proven, but not all that belonged to it came back: {'; '.join(different)}",
                do=f"Put that right by hand; {job.shared.contract.invoke('verify')} says what is promised",
            )
    return []
