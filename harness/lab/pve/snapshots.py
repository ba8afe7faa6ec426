"""Keep the whole state in a file, and put it back: the same moment, as often as a test needs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .vm_power import nics

if TYPE_CHECKING:
    from .simulator import Simulator


def take(sim: Simulator, name: str) -> None:
    with sim.state.lock:
        text = json.dumps(sim.state.data)
    _file(sim, name).write_text(text, encoding="utf-8")


def restore(sim: Simulator, name: str) -> None:
    """Tasks that run are gone without a trace; machines run that ran then. Guests' disks keep what was written.

    How long tasks take is no part of the moment, and stays.
    """
    kept = json.loads(_file(sim, name).read_text(encoding="utf-8"))
    sim.tasks.kill_all()
    with sim.state.lock:
        now, work = set(sim.state["vms"]), sim.tasks.work
        sim.state.data.clear()
        sim.state.data.update(kept | {"work": work})
        sim.state.save()
        _power(sim, now, kept)
        _resume(sim)
    sim.broadcasts.refresh(sim)


def _file(sim: Simulator, name: str) -> Path:
    if not name.isidentifier():
        raise ValueError(f"{name!r} is no name for a snapshot")
    return sim.options.state / f"snapshot-{name}.json"


def _power(sim: Simulator, now: set[str], kept: dict[str, Any]) -> None:
    for vmid in now - set(kept["started"]):
        sim.runtime.stop(int(vmid))
    for vmid in kept["started"]:
        if sim.runtime.is_running(int(vmid)) is None:
            sim.runtime.start(int(vmid), nics(kept["vms"][vmid]["config"]))


def _resume(sim: Simulator) -> None:
    """Whether a machine was paused is QEMU's to know, not the configuration's."""
    for vmid in sorted(sim.paused):
        sim.runtime.freeze(vmid, frozen=False)
    sim.paused.clear()
