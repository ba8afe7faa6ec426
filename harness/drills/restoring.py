"""Drill: the newest backup restores to a scratch VM that boots, and the VM it is of is not touched."""

from __future__ import annotations

from functools import partial

from harness.contract import Contract, Guest
from harness.drills.model import Drilling
from harness.drills.one_guest import chosen, job_of, look_at, remembered, require_made
from harness.engine.saved import archives_of
from harness.engine.scratch import scratch_number, take_away, try_backup
from harness.plan.losses import said_age

PROMISE = "its newest backup boots beside it, and it is not touched"


def run(drilling: Drilling) -> None:
    contract, tools, guest = drilling.contract, drilling.tools, chosen(drilling)
    scratch_number(contract)  # refused before anything is changed where none is declared
    before = require_made(drilling, guest)
    if not archives_of(contract, tools.writer, guest):
        make = contract.invoke(f"backup.now --guest {guest.name}")
        do = f"make one: {make}; and find out why the backup job does not"
        drilling.check(guest.name, wanted=PROMISE, seen=f"there is no backup of it; {do}", good=False)
        return
    job = job_of(drilling, guest)
    take_away(job, tools.fresh_reader())  # a copy that somebody tried by hand and left
    drilling.remember(guest=guest.name)
    with drilling.changes(f"the newest backup of {guest.name} is restored beside it", partial(mend, drilling)):
        tried = try_backup(job, tools.fresh_reader(), None)
        after = look_at(drilling, guest)
        untouched = after is not None and (after.config, after.status) == (before.config, before.status)
        boots = f"{tried.archive} ({said_age(tried.age_s)} old) boots as VM {tried.vmid} in {tried.seconds:.1f} s"
        drilling.check(
            guest.name,
            wanted=PROMISE,
            seen=f"{boots}: {tried.proof}; {_itself(drilling.contract, guest, untouched)}",
            good=untouched,
        )


def mend(drilling: Drilling) -> None:
    """Nothing there to remove is as good as removed."""
    take_away(job_of(drilling, remembered(drilling)), drilling.tools.fresh_reader())
    drilling.tell("no copy of a restored backup is left")


def _itself(contract: Contract, guest: Guest, untouched: bool) -> str:
    if untouched:
        return f"{guest.name} itself was not touched"
    return (
        f"the configuration or the state of {guest.name} is another one than before: compare with "
        f"{contract.invoke(f'plan --guest {guest.name}')}, and find out who changed it"
    )
