"""Restore a backup beside the guest it is of, without network, see that it boots, and take it away again."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace

from harness.contract import Contract, VmId
from harness.engine.events import GuestResult, Report
from harness.engine.job import Job, Shared
from harness.engine.looks import GuestLooks
from harness.engine.privileges import ON_THE_GUEST, TAKING_DOWN, on_guest, require
from harness.engine.quiet import changing, guest_named, require_quiet
from harness.engine.restoring import send_restore
from harness.engine.saved import choose_archive, require_of_guest
from harness.engine.sending import do_task
from harness.engine.starting import start
from harness.errors import HarnessError, Invalid, TimedOut, Unsafe
from harness.journal import journal_of
from harness.observed import ObservedGuest
from harness.plan import Change
from harness.plan.scratch import changes_for, faults_of, is_scratch_of, scratch_mac
from harness.pve import agent, backups, guests, read, wire
from harness.pve.agent import AgentForbids, AgentSilent
from harness.pve.backups import Saved
from harness.pve.client import Client, Writer
from harness.wait import wait_until

TO = "restore to a scratch VM"
STOP_DEADLINE_S = 90.0
DELETE_DEADLINE_S = 600.0


@dataclass(frozen=True)
class Tried:
    """A backup that was restored and booted; `hostname` is what the guest in it calls itself, where it says so."""

    guest: str
    vmid: int
    archive: str
    age_s: float
    hostname: str | None
    proof: str
    seconds: float


def restore_to_scratch(
    contract: Contract,
    client: Writer,
    *,
    name: str,
    archive: str | None,
    looks: GuestLooks,
    report: Report,
    reader: Client,
) -> Tried:
    with changing(contract, looks, report):
        return try_backup(scratch_job(contract, client, name, looks, report), reader, archive)


def remove_scratch(
    contract: Contract, client: Writer, *, name: str, looks: GuestLooks, report: Report, reader: Client
) -> bool:
    """False when there was nothing to remove."""
    with changing(contract, looks, report):
        return take_away(scratch_job(contract, client, name, looks, report), reader)


def try_backup(job: Job, reader: Client, archive: str | None) -> Tried:
    """The copy runs when this returns, and the guest itself was not touched."""
    began = time.monotonic()
    contract, guest, node, vmid = job.shared.contract, job.guest, job.node, scratch_number(job.shared.contract)
    _require_free(job, reader, vmid)
    needs = [*on_guest(contract, guest, *TAKING_DOWN, *ON_THE_GUEST)]
    require(contract, needs, job.writer, reader, to=TO)
    chosen = choose_archive(contract, job.writer, guest, archive)
    saved = backups.read_saved(job.writer, node, chosen.volid)
    require_of_guest(contract, guest, chosen, saved)
    age_s = max(0.0, float(backups.read_clock(job.writer, node) - chosen.made_at))
    job.remember("scratch", scratch=vmid, archive=chosen.volid)
    changes = changes_for(contract.site, guest, chosen.volid, _unplugged(saved))
    send_restore(job, vmid, chosen, saved, over=False, unique=True, changes=changes)
    copy = _read_back(job, vmid)
    with job.step("start", f"start VM {vmid} without network"):
        start(_as(job, vmid), copy)
    with job.step("reach", "wait for its guest agent"):
        hostname, proof = _wait_for_boot(job, vmid)
    return Tried(guest.name, vmid, chosen.volid, age_s, hostname, proof, time.monotonic() - began)


def take_away(job: Job, reader: Client) -> bool:
    """The scratch VM gone, when it is one; anything else at that number is refused."""
    contract, node, vmid = job.shared.contract, job.node, scratch_number(job.shared.contract)
    vm = read.read_guest(reader, node, vmid)
    if vm is None:
        return False
    if _is_leftover(job, vm):
        _clear_as_root(job, vmid)
        job.remember("scratch-removed", scratch=vmid)
        return True
    if not is_scratch_of(contract.site, vm):
        raise _not_scratch(job, vm)
    require_quiet(job.writer, node, vm, to="remove the scratch VM")
    job.remember("scratch-remove", scratch=vmid)
    if vm.status != "stopped":
        with job.step("stop", f"stop VM {vmid}"):
            do_task(
                job,
                "stop",
                lambda: guests.stop(job.writer, node, vmid),
                kind="qmstop",
                vmid=vmid,
                deadline_s=STOP_DEADLINE_S,
            )
    with job.step("delete", f"delete VM {vmid}"):
        do_task(
            job,
            "delete",
            lambda: guests.destroy(job.writer, node, vmid, purge=True),
            kind="qmdestroy",
            vmid=vmid,
            deadline_s=DELETE_DEADLINE_S,
        )
    job.remember("scratch-removed", scratch=vmid)
    return True


def scratch_job(contract: Contract, client: Writer, name: str, looks: GuestLooks, report: Report) -> Job:
    guest = guest_named(contract, name, to=TO)
    shared = Shared(contract, client, looks, journal_of(contract), report, 0.0)
    return Job(shared, guest, Change(guest.name, guest.vmid, "finish", TO, None), GuestResult(guest.name, guest.vmid))


def scratch_number(contract: Contract) -> int:
    if contract.scratch_vmid is None:
        raise Invalid(
            tried=TO,
            on=f"site {contract.site}",
            happened="the inventory names no VMID for it; nothing was changed",
            do="Declare a free number as mgmt_site.scratch_vmid in group_vars/all; a restore --in-place needs none",
        )
    return contract.scratch_vmid


def _removing(job: Job) -> str:
    return job.shared.contract.invoke(f"restore --guest {job.guest.name} --remove")


def _require_free(job: Job, reader: Client, vmid: int) -> None:
    if not read.vmid_is_taken(job.writer, vmid):
        return
    vm = read.read_guest(reader, job.node, vmid)
    if vm is None or not (is_scratch_of(job.shared.contract.site, vm) or _is_leftover(job, vm)):
        raise _not_scratch(job, vm)
    raise Unsafe(
        tried=TO,
        on=f"VM {vmid}",
        happened=f"a scratch VM is there already ({vm.name}); nothing was changed",
        do=f"Remove it: {_removing(job)}",
    )


def _not_scratch(job: Job, vm: ObservedGuest | None) -> Unsafe:
    vmid = scratch_number(job.shared.contract)
    half = vm is not None and vm.lock is not None
    return Unsafe(
        tried=TO,
        on=f"VM {vmid}",
        happened=f"mgmt_site.scratch_vmid is in use by {(vm and vm.name) or 'something'}"
        + (f", locked ({vm.lock})" if half and vm is not None else "")
        + ", which carries no mark of a scratch VM; nothing was changed",
        do=f"If a restore that was killed left it, on the node, as root: `qm unlock {vmid} && qm destroy {vmid}`; "
        "else declare another number",
    )


def _is_leftover(job: Job, vm: ObservedGuest) -> bool:
    """The empty configuration that PVE leaves of a restore that failed, at a number that was free before ours."""
    steps = [
        line["step"] for line in job.shared.journal.lines(job.guest.name) if str(line["step"]).startswith("scratch")
    ]
    empty = vm.config.keys() <= {"digest", "lock"} and vm.lock in (None, "create")
    return steps[-1:] == ["scratch"] and empty and not guests.running_on(job.writer, job.node, vm.vmid)


def _clear_as_root(job: Job, vmid: int) -> None:
    """It is in no pool, so no token may touch it; `_is_leftover` is the proof that it is ours."""
    if job.looks.as_root is None:
        raise Unsafe(
            tried="remove what a failed restore left",
            on=f"VM {vmid}",
            happened="it is in no pool, so the token may not, and there is no login as root on the node",
            do=f"On the node, as root: `qm unlock {vmid} && qm destroy {vmid}`",
        )
    job.note("delete", f"removing the empty VM {vmid} that a failed restore left, as root on the node")
    path = f"/nodes/{job.node}/qemu/{vmid}"
    job.looks.as_root(shlex.join(["pvesh", "delete", path, "--skiplock", "1", "--destroy-unreferenced-disks", "1"]))
    waited = wait_until(
        lambda: (None, "there") if read.vmid_is_taken(job.writer, vmid) else (True, "gone"), deadline_s=60.0
    )
    if waited.value is None:
        raise TimedOut(
            tried="remove what a failed restore left",
            on=f"VM {vmid}",
            happened="it is still there after a minute",
            do="Look at the node's task list",
        )


def _unplugged(saved: Saved) -> dict[str, str]:
    """Every NIC of the copy: its link down, and a MAC of its own."""
    rendered = {}
    for slot, nic in saved.vm.nics.items():
        ours = {"link_down", "model", "macaddr", *wire.NIC_MODELS}
        kept = wire.parse_properties(str(saved.vm.config[slot]), "model")
        rest = {name: value for name, value in kept.items() if name not in ours}
        rendered[slot] = wire.render_properties({nic.model: scratch_mac(nic.mac.lower()), **rest, "link_down": "1"})
    return rendered


def _as(job: Job, vmid: int) -> Job:
    """The same run, at the copy instead of the guest."""
    return replace(job, guest=replace(job.guest, vmid=VmId(vmid)))


def _read_back(job: Job, vmid: int) -> ObservedGuest:
    vm = read.read_guest(job.writer, job.node, vmid)
    faults = ["it is not there"] if vm is None else list(faults_of(job.shared.contract.site, job.guest, vm))
    if vm is None or faults:
        raise Unsafe(
            tried=TO,
            on=f"VM {vmid}",
            happened=f"the restored copy is not as it was asked for: {'; '.join(faults)}; it was not started",
            do=f"Look at `qm config {vmid}` on the node, and remove it there",
        )
    return vm


def _wait_for_boot(job: Job, vmid: int) -> tuple[str | None, str]:
    """Its agent speaks over the machine's own channel, which needs no network."""

    def look() -> tuple[tuple[str | None, str] | None, str]:
        job.check()
        try:
            hostname = agent.read_hostname(job.writer, job.node, vmid)
        except AgentForbids as error:
            return (None, f"its agent answers ({error.happened})"), "answers"
        except AgentSilent as error:
            return None, error.happened
        return (hostname, f"its agent answers as {hostname}"), "answers"

    waited = wait_until(look, deadline_s=job.shared.contract.guest_deadline_s, first_pause_s=0.5)
    if waited.value is None:
        raise TimedOut(
            tried="see the restored copy boot",
            on=f"VM {vmid}",
            happened=f"after {waited.seconds:.0f} s its guest agent is silent ({waited.last_seen})",
            do=f"Look at its console; then remove it: {_removing(job)}",
        )
    hostname, proof = waited.value
    if hostname is not None and hostname != job.guest.name:
        raise HarnessError(
            tried="see the restored copy boot",
            on=f"VM {vmid}",
            happened=f"the guest in it calls itself {hostname}",
            do=f"Find out which guest this backup is of; look at {job.shared.contract.invoke('backup.list')}",
        )
    return hostname, proof
