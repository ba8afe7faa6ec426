"""Drill: the newest backup restores to a scratch VM that boots, and the guest it is of is not touched."""

from __future__ import annotations

from functools import partial

from harness.engine.drills.record import Record, Undo
from harness.engine.drills.run import Broken, Drilled, run, settle
from harness.engine.quiet import guest_named, require_ours
from harness.engine.saved import archives_of
from harness.engine.scratch import scratch_job, take_away, try_backup
from harness.errors import Unsafe
from harness.observed import ObservedGuest
from harness.plan.losses import said_age
from harness.pve import read


def drill_restore(drilled: Drilled) -> Record:
    contract = drilled.contract
    guest = guest_named(contract, drilled.guest, to="run the drill restore")
    job = scratch_job(contract, drilled.client, guest.name, drilled.looks, drilled.report)

    def act(undo: Undo) -> str:
        before = _seen(drilled)
        require_ours(contract, guest, before, to="run the drill restore")
        if not archives_of(contract, drilled.client, guest):
            raise Broken(
                tried="restore a backup",
                on=job.on,
                happened="there is no backup of it",
                do=f"Make one: ./invoke backup.now --guest {guest.name}; and find out why the backup job does not",
            )
        take_away(job, drilled.reader)  # a copy that somebody tried by hand and left
        undo.write(guest=guest.name)
        tried = try_backup(job, drilled.reader, None)
        drilled.seen.update(archive=tried.archive, age=said_age(tried.age_s), boot=tried.proof)
        after = _seen(drilled)
        if (after.config, after.status) != (before.config, before.status):
            raise Broken(
                tried="leave the guest alone",
                on=job.on,
                happened="its configuration or its state is another one than before",
                do=f"Compare with ./invoke plan --guest {guest.name}, and find out who changed it",
            )
        return (
            f"{tried.archive} ({said_age(tried.age_s)} old) boots as VM {tried.vmid} in {tried.seconds:.1f} s: "
            f"{tried.proof}; {guest.name} itself was not touched"
        )

    return run("restore", drilled, act, partial(_take_away, drilled))


def mend_restore(drilled: Drilled) -> None:
    """The copy of a drill that was cut off goes."""
    settle("restore", drilled, partial(_take_away, drilled))


def _take_away(drilled: Drilled, what: dict[str, str]) -> None:
    """Nothing there to remove is as good as removed."""
    take_away(
        scratch_job(drilled.contract, drilled.client, what["guest"], drilled.looks, drilled.report), drilled.reader
    )


def _seen(drilled: Drilled) -> ObservedGuest:
    guest = drilled.contract.guest(drilled.guest)
    vm = read.read_guest(drilled.reader, drilled.contract.hypervisor.node, guest.vmid)
    if vm is None:
        raise Unsafe(
            tried="run the drill",
            on=f"{guest.name} (VM {guest.vmid})",
            happened="there is no such VM on the hypervisor",
            do=f"Make it: ./invoke provision --guest {guest.name}",
        )
    return vm
