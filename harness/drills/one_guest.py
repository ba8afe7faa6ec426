"""What the drills of one VM have in common: which one it is, and the engine's ways to it."""

from __future__ import annotations

from functools import partial
from typing import Any

from harness.contract import Guest
from harness.drills.model import Drilling
from harness.engine import quiet
from harness.engine.events import Event
from harness.engine.job import Job
from harness.engine.quiet import guest_named
from harness.engine.scratch import scratch_job
from harness.observed import ObservedGuest
from harness.pve import read

TO = "run the drill"


def chosen(drilling: Drilling) -> Guest:
    """The one that was named, or the one that is missed least: the last to start."""
    guest = drilling.guest or drilling.contract.guests[-1]
    drilling.note("the VM that was chosen", f"{guest.name} (VM {guest.vmid})")
    return guest


def remembered(drilling: Drilling) -> Guest:
    """The one that a drill was at when it wrote down what is to be undone."""
    return guest_named(drilling.contract, drilling.undo["guest"], to="undo a drill")


def look_at(drilling: Drilling, guest: Guest) -> ObservedGuest | None:
    return read.read_guest(drilling.tools.fresh_reader(), drilling.contract.hypervisor.node, guest.vmid)


def require_made(drilling: Drilling, guest: Guest) -> ObservedGuest:
    """Unsafe unless it is there, and ours."""
    return quiet.require_made(drilling.contract, drilling.tools.fresh_reader(), guest, to=TO)


def ways(drilling: Drilling) -> dict[str, Any]:
    """As the engine's functions take them."""
    tools = drilling.tools
    return {
        "client": tools.writer,
        "reader": tools.fresh_reader(),
        "looks": tools.guest_looks,
        "report": partial(_tell, drilling),
    }


def job_of(drilling: Drilling, guest: Guest) -> Job:
    tools = drilling.tools
    return scratch_job(drilling.contract, tools.writer, guest.name, tools.guest_looks, partial(_tell, drilling))


def _tell(drilling: Drilling, event: Event) -> None:
    if event.state in {"begin", "note"}:
        drilling.tell(f"{event.guest or 'the site'}: {event.step or ''} {event.text}".replace("  ", " "))
