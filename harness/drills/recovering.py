"""Drills of one guest: its backup boots beside it; it is destroyed and built again as itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.contract import Guest
from harness.drills.model import Drilling, Unjudged
from harness.engine import Event, routing
from harness.engine.drills import Drilled, Record, drill_rebuild, drill_restore, mend_rebuild, mend_restore
from harness.errors import Invalid


def run_restore(drilling: Drilling) -> None:
    _run(drilling, drill_restore, "its newest backup boots beside it, and it is not touched")


def run_rebuild(drilling: Drilling) -> None:
    _run(drilling, drill_rebuild, "destroyed and built again as itself")


def mend_after_restore(drilling: Drilling) -> None:
    mend_restore(_drilled(drilling, _chosen(drilling)))
    drilling.tell("no copy of a restored backup is left")


def mend_after_rebuild(drilling: Drilling) -> None:
    mend_rebuild(_drilled(drilling, _chosen(drilling)))
    drilling.tell("the VM is what it was before the drill")


def _run(drilling: Drilling, drill: Callable[[Drilled], Record], promise: str) -> None:
    """What it changes it undoes by itself, also when it is interrupted, so there is nothing left to undo here."""
    guest = _chosen(drilling)
    if drilling.contract.scratch_vmid is None and drill is drill_restore:
        raise Invalid(
            tried="restore a backup beside its VM",
            on=f"site {drilling.contract.site}",
            happened="the inventory names no VMID for it; nothing was changed",
            do="Declare a free number as mgmt_site.scratch_vmid in group_vars/all",
        )
    drilling.note("the VM that was chosen", f"{guest.name} (VM {guest.vmid})")
    with drilling.changes(f"{guest.name}: {promise}", lambda: None):
        record = drill(_drilled(drilling, guest))
    for what, seen in record.seen.items():
        drilling.note(what, str(seen))
    if record.verdict == "unknown":
        happened = f"it was not found out whether it holds. {record.said}"
        raise Unjudged(tried="judge the drill", on=guest.name, happened=happened, do="Then run the drill again")
    drilling.check(guest.name, wanted=promise, seen=record.said, good=record.verdict == "pass")


def _chosen(drilling: Drilling) -> Guest:
    """The one that was named, or the one that is missed least: the last to start."""
    return drilling.guest or drilling.contract.guests[-1]


def _drilled(drilling: Drilling, guest: Guest) -> Drilled:
    tools, contract = drilling.tools, drilling.contract
    router = tools.router
    return Drilled(
        contract,
        client=tools.writer,
        reader=tools.fresh_reader(),
        looks=tools.guest_looks,
        report=partial(_report, drilling),
        guest=guest.name,
        ready=partial(routing.require_reservations, contract, router) if router else None,
        held=partial(routing.held_by, router) if router else None,
        locked=True,
    )


def _report(drilling: Drilling, event: Event) -> None:
    if event.state in {"done", "note"}:
        drilling.tell(f"{event.guest or 'the site'}: {event.step or ''} {event.text}".replace("  ", " "))
