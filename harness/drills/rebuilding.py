"""Drill: a VM is destroyed and built again as itself, and then gets back what was on its disks."""

from __future__ import annotations

from functools import partial

from harness.contract import Guest
from harness.core_router import require_reservations
from harness.drills.model import Drilling
from harness.drills.one_guest import TO, chosen, job_of, look_at, remembered, require_made, ways
from harness.engine import routing
from harness.engine.backing_up import back_up_one
from harness.engine.job import Job
from harness.engine.quiet import require_quiet
from harness.engine.rebuilding import rebuild
from harness.engine.restoring import restore_in_place
from harness.engine.saved import archives_of, target_storage
from harness.journal import journal_of
from harness.observed import ObservedGuest
from harness.pve import backups

PROMISE = "destroyed and built again as itself"


def run(drilling: Drilling) -> None:
    contract, tools, guest = drilling.contract, drilling.tools, chosen(drilling)
    vm = require_made(drilling, guest)
    require_quiet(tools.writer, contract.hypervisor.node, vm, to=TO)
    storage = target_storage(contract, tools.writer)
    router_held = _router_entries(drilling)
    drilling.remember(guest=guest.name, machine=_machine(vm))
    with drilling.changes(f"{guest.name} is backed up, {PROMISE}", partial(mend, drilling)):
        made = back_up_one(job_of(drilling, guest).shared, guest, storage)
        drilling.remember(archive=made.archive.volid)
        _rebuild(drilling, guest)
        _check_router(drilling, router_held)


def mend(drilling: Drilling) -> None:
    """The disks as they were when the drill began; then the drill's own backup goes, too."""
    guest, archive = remembered(drilling), drilling.undo.get("archive")
    if archive is not None:
        if not _is_untouched(drilling, guest):
            restore_in_place(
                drilling.contract,
                name=guest.name,
                archive=archive,
                agent_grace_s=drilling.tools.agent_grace_s,
                locked=True,
                **ways(drilling),
            )
        _forget(job_of(drilling, guest), archive)
    drilling.tell(f"{guest.name} is what it was before the drill")


def _rebuild(drilling: Drilling, guest: Guest) -> None:
    contract, tools = drilling.contract, drilling.tools
    done = rebuild(
        contract,
        name=guest.name,
        agent_grace_s=tools.agent_grace_s,
        ready=partial(require_reservations, contract, tools.router) if tools.router else None,
        locked=True,
        **ways(drilling),
    )
    assert done is not None  # noqa: S101 - nobody was asked
    for what, seen in {**done.result.seen, "upids": " ".join(done.result.upids)}.items():
        drilling.note(what, seen)
    same = f"as VM {guest.vmid}, {guest.nic.mac}, {guest.nic.address.ip}; its backup jobs are as before"
    drilling.check(guest.name, wanted=PROMISE, seen=f"{PROMISE} in {done.seconds:.1f} s {same}", good=True)


def _check_router(drilling: Drilling, before: list[str]) -> None:
    after = _router_entries(drilling)
    changed = (
        f"others than before: {sorted(set(before) ^ set(after))}; look at {drilling.contract.invoke('router.check')}"
    )
    drilling.check("the core router's entries", wanted="as before", seen="as before" if after == before else changed)


def _router_entries(drilling: Drilling) -> list[str]:
    router = drilling.tools.router
    return routing.held_by(router) if router else []


def _is_untouched(drilling: Drilling, guest: Guest) -> bool:
    """A VM that is built anew has another machine id; one from the backup has the old one."""
    vm, apart = look_at(drilling, guest), journal_of(drilling.contract).apart()
    return vm is not None and guest.vmid not in apart and _machine(vm) == drilling.undo["machine"]


def _machine(vm: ObservedGuest) -> str:
    return str(vm.config.get("smbios1", ""))


def _forget(job: Job, volid: str) -> None:
    """The archive was made for the drill alone: it must not push others out of the retention."""
    archive = next((one for one in archives_of(job.shared.contract, job.writer, job.guest) if one.volid == volid), None)
    if archive is not None:
        job.remember("backup-removed", archive=volid)
        backups.delete(job.writer, job.node, archive)
