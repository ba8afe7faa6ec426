"""Drill: a guest is destroyed and built again as itself, and then gets back what was on its disks."""

from __future__ import annotations

from functools import partial

from harness.engine.backing_up import back_up_one
from harness.engine.drills.record import Record, Undo
from harness.engine.drills.run import Broken, Drilled, run, settle
from harness.engine.job import Job, Shared
from harness.engine.observe import journal_of
from harness.engine.quiet import guest_named, require_ours, require_quiet
from harness.engine.rebuilding import rebuild
from harness.engine.restoring import restore_in_place
from harness.engine.saved import archives_of, target_storage
from harness.engine.scratch import scratch_job
from harness.errors import Unsafe
from harness.pve import backups, read

TO = "run the drill rebuild"


def drill_rebuild(drilled: Drilled) -> Record:
    contract = drilled.contract
    guest = guest_named(contract, drilled.guest, to=TO)

    def act(undo: Undo) -> str:
        vm = read.read_guest(drilled.reader, contract.hypervisor.node, guest.vmid)
        if vm is None:
            raise Unsafe(
                tried=TO,
                on=f"{guest.name} (VM {guest.vmid})",
                happened="there is no such VM on the hypervisor",
                do=f"Make it: ./invoke provision --guest {guest.name}",
            )
        require_ours(contract, guest, vm, to=TO)
        require_quiet(drilled.client, contract.hypervisor.node, vm, to=TO)
        before = drilled.router_entries()
        shared = Shared(
            contract, drilled.client, drilled.looks, journal_of(contract), drilled.report, drilled.agent_grace_s
        )
        made = back_up_one(shared, guest, target_storage(contract, drilled.client))
        undo.write(guest=guest.name, archive=made.archive.volid, machine=str(vm.config.get("smbios1", "")))
        done = rebuild(
            contract,
            name=guest.name,
            agent_grace_s=drilled.agent_grace_s,
            ready=drilled.ready,
            locked=True,
            **drilled.tools(),
        )
        assert done is not None  # noqa: S101 - nobody was asked
        drilled.seen.update(done.result.seen, upids=" ".join(done.result.upids))
        if (after := drilled.router_entries()) != before:
            raise Broken(
                tried="rebuild a guest",
                on=guest.name,
                happened=f"the core router holds other entries than before: {sorted(set(before) ^ set(after))}",
                do="Find out who writes there; look at ./invoke router.check",
            )
        return (
            f"{guest.name} was destroyed and built again in {done.seconds:.1f} s as VM {guest.vmid}, {guest.nic.mac}, "
            f"{guest.nic.address.ip}; the core router and its backup jobs are as before"
        )

    return run("rebuild", drilled, act, partial(_give_back, drilled))


def mend_rebuild(drilled: Drilled) -> None:
    """The guest of a drill that was cut off is what it was."""
    settle("rebuild", drilled, partial(_give_back, drilled))


def _give_back(drilled: Drilled, what: dict[str, str]) -> None:
    """The disks as they were when the drill began; then the drill's own backup goes, too."""
    contract = drilled.contract
    if not _is_untouched(drilled, what):
        restore_in_place(
            contract,
            name=what["guest"],
            archive=what["archive"],
            agent_grace_s=drilled.agent_grace_s,
            locked=True,
            **drilled.tools(),
        )
    job = scratch_job(contract, drilled.client, what["guest"], drilled.looks, drilled.report)
    _forget(job, what["archive"])


def _is_untouched(drilled: Drilled, what: dict[str, str]) -> bool:
    """A VM that is built anew has another machine id; one from the backup has the old one."""
    guest = drilled.contract.guest(what["guest"])
    vm = read.read_guest(drilled.reader, drilled.contract.hypervisor.node, guest.vmid)
    apart = journal_of(drilled.contract).apart()
    return vm is not None and guest.vmid not in apart and str(vm.config.get("smbios1", "")) == what["machine"]


def _forget(job: Job, volid: str) -> None:
    """The archive was made for the drill alone: it must not push others out of the retention."""
    archive = next((one for one in archives_of(job.shared.contract, job.writer, job.guest) if one.volid == volid), None)
    if archive is not None:
        job.remember("backup-removed", archive=volid)
        backups.delete(job.writer, job.node, archive)
