"""Put a guest back from a backup, in its own place; PVE replaces its disks, and the rest of the road is provision's."""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from contextlib import nullcontext
from typing import Any

from harness.contract import Contract, Guest
from harness.engine.events import GuestResult, Report
from harness.engine.job import Job, Shared
from harness.engine.looks import GuestLooks
from harness.engine.observe import observe
from harness.engine.privileges import ON_THE_GUEST, TAKING_DOWN, on_guest, require
from harness.engine.provision import build
from harness.engine.quiet import changing, guest_named, require_ours, require_quiet, settle
from harness.engine.rebuilding import Done
from harness.engine.saved import choose_archive, require_of_guest, said_archive
from harness.engine.sending import do_task
from harness.engine.taking_down import taken_down
from harness.errors import Unsafe
from harness.journal import journal_of
from harness.observed import ObservedGuest, ObservedSite
from harness.plan import Change
from harness.plan.losses import own_disks, said_disks
from harness.plan.templates import volume_bytes
from harness.pve import backups, read, wire
from harness.pve.backups import Archive, Saved
from harness.pve.client import Client, Writer

TO = "restore"
LEAST_DEADLINE_S = 600.0
SLOWEST_WRITE_BYTES_PER_S = 10 << 20


def restore_in_place(
    contract: Contract,
    client: Writer,
    *,
    name: str,
    archive: str | None,
    looks: GuestLooks,
    report: Report,
    reader: Client,
    agent_grace_s: float = 15.0,
    ready: Callable[[Set[str]], None] | None = None,
    agree: Callable[[str], bool] = lambda _: True,
    locked: bool = False,
) -> Done | None:
    """The guest as it was when `archive` (or the newest) was made, with its declared configuration.

    None when `agree`, told what will be lost, said no. With `locked` the caller holds the site's lock.
    """
    began = time.monotonic()
    guest = guest_named(contract, name, to=TO)
    node = contract.hypervisor.node
    with nullcontext() if locked else changing(contract, looks, report):
        journal = journal_of(contract)
        settle(client, node, journal, guest.vmid)
        observed = observe(contract, reader)
        vm = next((vm for vm in observed.guests if vm.vmid == guest.vmid), None)
        if vm is not None:
            require_ours(contract, guest, vm, to=TO)
            require_quiet(client, node, vm, to=TO)
        elif guest.vmid in observed.hidden:
            raise _taken(guest)
        require(contract, on_guest(contract, guest, *TAKING_DOWN, *ON_THE_GUEST), client, reader, to=TO)
        chosen = choose_archive(contract, client, guest, archive)
        saved = _read_saved(contract, client, guest, chosen)
        _require_room(guest, vm, saved, observed)
        if ready is not None:
            ready({guest.name})
        now = backups.read_clock(client, node)
        if not agree(_said_loss(vm, said_archive(chosen, now))):
            return None
        shared = Shared(contract, client, looks, journal, report, agent_grace_s)
        change = Change(guest.name, guest.vmid, "finish", f"restored from {chosen.volid}", None)
        job = Job(shared, guest, change, GuestResult(guest.name, guest.vmid))
        job.remember("restore", archive=chosen.volid)
        with taken_down(job, vm) if vm is not None else nullcontext():
            job.remember("restoring")
            send_restore(
                job, guest.vmid, chosen, saved, over=vm is not None, unique=False, changes=_changes(guest, saved)
            )
        job.remember("restored")
        require_ours(contract, guest, _read_back(job), to="go on with what was restored")
        build(job)
        job.result.outcome = "restored"
    return Done(job.result, (), client.counts.writes, time.monotonic() - began)


def send_restore(
    job: Job, vmid: int, archive: Archive, saved: Saved | None, *, over: bool, unique: bool, changes: dict[str, Any]
) -> None:
    """The task's good end; `vmid` is the guest's own or the scratch one."""
    pool = None if over else job.shared.contract.hypervisor.pool
    copied = sum(volume_bytes(text) for text in own_disks(saved.vm).values()) if saved else 0
    with job.step("restore", f"{archive.volid} to VM {vmid}"):
        do_task(
            job,
            "restore",
            lambda: backups.restore(
                job.writer, job.node, vmid, archive.volid, over=over, unique=unique, pool=pool, changes=changes
            ),
            kind="qmrestore",
            vmid=vmid,
            deadline_s=max(LEAST_DEADLINE_S, copied / SLOWEST_WRITE_BYTES_PER_S),
        )


def _read_saved(contract: Contract, client: Client, guest: Guest, archive: Archive) -> Saved | None:
    """None where the VM is gone and with it the token's right to read its backups; PVE restores them all the same."""
    if archive.size_bytes is None:
        return None
    saved = backups.read_saved(client, contract.hypervisor.node, archive.volid)
    require_of_guest(contract, guest, archive, saved)
    return saved


def _changes(guest: Guest, saved: Saved | None) -> dict[str, Any]:
    """The declared NIC from the first moment: the backup may be older than the MAC, and VMs start with the node."""
    present = str(saved.vm.config.get(guest.nic.slot, "")) if saved else ""
    nic = wire.render_nic(guest.nic, present)
    return {} if nic == present else {guest.nic.slot: nic}


def _require_room(guest: Guest, vm: ObservedGuest | None, saved: Saved | None, observed: ObservedSite) -> None:
    """PVE takes the old disks away before it knows that the new ones fit."""
    if saved is None:
        return
    free = {storage.name: storage.available_bytes for storage in observed.storages}
    needed: dict[str, int] = {}
    for volumes, sign in ((own_disks(saved.vm), 1), (own_disks(vm) if vm else {}, -1)):
        for text in volumes.values():
            storage = text.partition(":")[0]
            needed[storage] = needed.get(storage, 0) + sign * volume_bytes(text)
    for storage, size in needed.items():
        if size > (free.get(storage) or size):
            raise Unsafe(
                tried=TO,
                on=f"{guest.name} (VM {guest.vmid})",
                happened=f"the storage {storage} lacks {(size - (free.get(storage) or 0)) / (1 << 30):.1f} GiB for "
                f"{said_disks(sorted(own_disks(saved.vm).items()))}; nothing was changed",
                do=f"Free space on {storage}, then run the same command again",
            )


def _said_loss(vm: ObservedGuest | None, archive: str) -> str:
    if vm is None:
        return f"the VM is made again from {archive}"
    return f"what is on {said_disks(sorted(own_disks(vm).items()))} is replaced by {archive}"


def _taken(guest: Guest) -> Unsafe:
    return Unsafe(
        tried=TO,
        on=f"{guest.name} (VM {guest.vmid})",
        happened="its number is in use by something this credential may not see whole; nothing was changed",
        do=f"Look at {guest.vmid} on the node (`qm config {guest.vmid}` or `pct config {guest.vmid}`)",
    )


def _read_back(job: Job) -> ObservedGuest:
    vm = read.read_guest(job.writer, job.node, job.guest.vmid)
    if vm is None or vm.lock is not None:
        raise Unsafe(
            tried=TO,
            on=job.on,
            happened="its task succeeded, but "
            + ("the VM is not there" if vm is None else f"it is locked ({vm.lock})"),
            do="Look at the node's task list, then run the same command again",
        )
    return vm
