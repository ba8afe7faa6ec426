"""Finish or remove what a dead clone of ours left behind, as root on the node, and only with the proof that it is ours.

PVE lets no token touch it: its lock takes `skiplock`, which is root's, and it is in no pool yet.
"""

from __future__ import annotations

import json
import shlex
from typing import Any

from harness.engine.job import Job
from harness.errors import HarnessError, TimedOut, Unsafe
from harness.plan.diff import TEMPORARY
from harness.plan.marks import Provenance, is_unfinished, parse_provenance
from harness.pve import guests, read
from harness.pve.errors import Absent
from harness.pve.upid import UNEXPECTED, parse_upid, read_exit_status
from harness.wait import wait_until

GONE_DEADLINE_S = 60.0


def mend(job: Job, seen: str) -> bool:
    """Whether the VM is there and whole afterwards; Unsafe with what to type where this may not be done."""
    if job.looks.as_root is None:
        raise _not_mended(job, seen, "a token may not lift its lock, and there is no login as root on the node")
    try:
        config = json.loads(_as_root(job, "get", f"{_vm(job)}/config", "--output-format", "json"))
        if reason := _not_ours(job, config) or _not_dead(job, is_whole="lock" not in config):
            raise _not_mended(job, seen, reason)
        if "lock" not in config:
            return _finished(job)
        _remove(job)
    except Unsafe:
        raise
    except (HarnessError, ValueError) as error:
        raise _not_mended(job, seen, f"it could not be cleared away as root on the node: {error}") from error
    return False


def _not_ours(job: Job, config: dict[str, Any]) -> str | None:
    """Why this configuration is none that our own clone leaves behind."""
    begun = job.shared.journal.begun().get(job.guest.vmid)
    if begun is None or begun.guest != job.guest.name:
        return "this machine's journal does not know of a clone into it"
    notes = str(config.get("description", ""))
    provenance = parse_provenance(notes)
    if provenance is not None:
        ours = (provenance.site, provenance.guest) == (job.shared.contract.site, job.guest.name)
        return None if ours and is_unfinished(notes) else f"its notes say that it is {_named(provenance)}"
    if (
        notes.strip() == TEMPORARY
        and config.get("lock") == "clone"
        and config.keys() <= {"lock", "description", "digest"}
    ):
        return None
    return "it is more than what PVE makes of a clone at first, and carries no mark of ours"


def _named(provenance: Provenance) -> str:
    return f"{provenance.guest} of site {provenance.site}"


def _not_dead(job: Job, *, is_whole: bool) -> str | None:
    """Why the clone may still be alive, or may have been somebody else's."""
    for running in guests.running_clones(job.writer, job.node, None):
        if running.makes(job.guest.vmid) or not running.makes_something_known:
            return f"a clone is still being made ({running.upid})"
    begun = job.shared.journal.begun()[job.guest.vmid]
    if begun.upid is not None:
        ended = _exit_status(job, begun.upid)
        fits = {None, "OK", UNEXPECTED} if is_whole else {None, UNEXPECTED}
        return None if ended in fits else f"the clone of our journal ended with {ended!r}"
    template = job.change.clone.template_vmid if job.change.clone is not None else None
    mine = guests.killed_clones(job.writer, job.node, template)
    if any(clone.makes(job.guest.vmid) or not clone.makes_something_known for clone in mine):
        return None
    return "the node's task list shows no clone of ours that was killed"


def _exit_status(job: Job, upid: str) -> str | None:
    """None when the node has forgotten the task."""
    try:
        return read_exit_status(job.writer, parse_upid(upid))
    except Absent:
        return None


def _finished(job: Job) -> bool:
    """The power went between the last line of the configuration and the pool's."""
    pool = job.shared.contract.hypervisor.pool
    if pool is not None:
        job.remember("pool", pool=pool)
        _as_root(job, "set", f"/pools/{pool}", "--vms", str(job.guest.vmid))
        job.retried("clone", f"its clone was whole but in no pool; put into {pool} as root on the node")
    return True


def _remove(job: Job) -> None:
    """Without purge: the guest's place in backup jobs is the guest's, not this clone's."""
    job.remember("clear")
    job.note("clone", "an earlier clone died half-way; removing what it left, as root on the node")
    _as_root(job, "delete", _vm(job), "--skiplock", "1", "--destroy-unreferenced-disks", "1")

    def look() -> tuple[bool | None, str]:
        job.check()
        taken = read.vmid_is_taken(job.writer, job.guest.vmid)
        return (None, "still there") if taken else (True, "gone")

    waited = wait_until(look, deadline_s=GONE_DEADLINE_S)
    if waited.value is None:
        raise TimedOut(
            tried="remove the half clone",
            on=job.on,
            happened=f"it is still there after {waited.seconds:.0f} s",
            do="Look at the node's task list",
        )
    job.remember("clone-failed")
    job.retried("clone", "an earlier clone had died half-way; what it left was removed as root on the node")


def _vm(job: Job) -> str:
    return f"/nodes/{job.node}/qemu/{job.guest.vmid}"


def _as_root(job: Job, *words: str) -> str:
    assert job.looks.as_root is not None  # noqa: S101 - asked before
    return job.looks.as_root(shlex.join(["pvesh", *words]))


def _not_mended(job: Job, seen: str, reason: str) -> Unsafe:
    vmid = job.guest.vmid
    return Unsafe(
        tried="go on with the clone of an earlier run",
        on=job.on,
        happened=f"it was left half made and no task works on it ({seen}); {reason}",
        do=f"On the node, as root, look at `qm config {vmid}`; if nobody misses it: `qm unlock {vmid} && "
        f"qm destroy {vmid} --destroy-unreferenced-disks 1`, then run the same command again",
    )
