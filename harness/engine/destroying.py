"""Remove one guest's VM for good: the one that was named, proven ours, and nobody working on it."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness.contract import Contract
from harness.engine.events import GuestResult, Report
from harness.engine.job import Job, Shared
from harness.engine.looks import GuestLooks
from harness.engine.privileges import TAKING_DOWN, on_guest, require
from harness.engine.quiet import changing, guest_named, require_ours, require_quiet, settle
from harness.engine.rebuilding import Done
from harness.engine.saved import archives_of, said_archive
from harness.engine.taking_down import delete, taken_down
from harness.errors import Unsafe
from harness.journal import journal_of
from harness.plan import Change
from harness.plan.losses import own_disks, said_disks
from harness.pve import backups, read
from harness.pve.client import Client, Writer

TO = "destroy"


def destroy(
    contract: Contract,
    client: Writer,
    *,
    name: str,
    looks: GuestLooks,
    report: Report,
    reader: Client,
    agree: Callable[[str], bool],
) -> Done | None:
    """The VM gone, its place in backup jobs too; None when `agree`, told what will be lost, said no."""
    began = time.monotonic()
    guest = guest_named(contract, name, to=TO)
    node = contract.hypervisor.node
    with changing(contract, looks, report):
        journal = journal_of(contract)
        apart = settle(client, node, journal, guest.vmid).get(guest.vmid)
        vm = read.read_guest(reader, node, guest.vmid)
        change = Change(guest.name, guest.vmid, "finish", "destroyed", None)
        shared = Shared(contract, client, looks, journal, report, 0.0)
        job = Job(shared, guest, change, GuestResult(guest.name, guest.vmid, "destroyed"))
        if vm is None and apart is not None and not read.vmid_is_taken(client, guest.vmid):
            job.remember("destroyed")  # the earlier run's task did it
            return Done(job.result, ("an earlier run had removed it already",), 0, time.monotonic() - began)
        if vm is None:
            raise Unsafe(
                tried=TO,
                on=job.on,
                happened="there is no such VM on the hypervisor; nothing was changed",
                do=f"Look at {contract.invoke('plan')}; a VM that is not declared is never touched",
            )
        require_ours(contract, guest, vm, to=TO)
        require(contract, on_guest(contract, guest, *TAKING_DOWN), client, reader, to=TO)
        require_quiet(client, node, vm, to=TO)
        kept = archives_of(contract, client, guest)
        now = backups.read_clock(client, node)
        newest = f"its newest backup stays: {said_archive(kept[0], now)}" if kept else "there is no backup of it"
        if not agree(f"{said_disks(sorted(own_disks(vm).items()))} and its place in backup jobs go; {newest}"):
            return None
        job.remember("destroy")
        with taken_down(job, vm):
            delete(job, purge=True)
        job.remember("destroyed")
    return Done(job.result, (newest,), client.counts.writes, time.monotonic() - began)
