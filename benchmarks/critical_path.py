"""The critical path of making VMs: how long PVE's own work takes when nobody waits between one step and the next."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness import lab
from harness.lab.status import guest_pid, root_of

_VM = re.compile(r"/nodes/[^/]+/qemu/(\d+)/(.+)")
_STEPS = {"config": "configure", "status/start": "start"}


@dataclass(frozen=True)
class Guest:
    """Moments that only the guest knows, in seconds since the epoch."""

    agent_up: float  # its agent listens: what came before is its boot
    identity_begun: float
    identity_done: float


@dataclass(frozen=True)
class CriticalPath:
    """The seconds of each step of one VM, and of the backups that come after it.

    That VM is the first one to be there, and all the backups follow: a node makes one at a time. Or, where that takes
    longer, it is the last one and only its own backup follows.

    PVE's tasks, its writes that are no tasks, and the boot of a guest. `identity` is what our own script takes in the
    guest: it cannot overlap with anything of that VM, but it is no work of PVE's, and not in `seconds`.
    """

    clone: float
    configure: float
    start: float
    boot: float
    backup: float
    identity: float

    @property
    def seconds(self) -> float:
        return self.clone + self.configure + self.start + self.boot + self.backup

    def __str__(self) -> str:
        *pve, identity = asdict(self).items()
        said = " + ".join(f"{step} {seconds:.2f}" for step, seconds in pve)
        return f"{said} = {self.seconds:.2f} s; {identity[0]} {identity[1]:.2f} s"


def critical_path(
    writes: Iterable[Mapping[str, Any]], tasks: Iterable[Mapping[str, Any]], guests: Mapping[int, Guest]
) -> CriticalPath | None:
    """Of a run that made VMs; None where none was made, or one never came up."""
    ended = {task["upid"]: task for task in tasks}
    chains: dict[int, dict[str, float]] = {}
    backups: list[tuple[float, float]] = []
    for write in writes:
        span = ended[write["task"]] if write["task"] else write
        if span["ended"] is None:
            return None
        vmid, step = _step_of(write)
        if step == "backup":
            backups.append((span["began"], span["ended"]))
        elif step is not None:
            chain = chains.setdefault(vmid, {})
            chain[step] = chain.get(step, 0.0) + span["ended"] - span["began"]
            if step == "start":
                chain |= _in_the_guest(guests.get(vmid), span["ended"])
    whole = [chain for chain in chains.values() if {"clone", "start", "boot"} <= chain.keys()]
    if not whole or len(whole) < len(chains):
        return None
    saving = _covered(backups)
    paths = sorted((CriticalPath(**{"configure": 0.0, **chain}, backup=0.0) for chain in whole), key=_length)
    first, last = replace(paths[0], backup=saving), replace(paths[-1], backup=saving / len(paths))
    return max(first, last, key=_length)


def _length(path: CriticalPath) -> float:
    return path.seconds


def _covered(spans: Iterable[tuple[float, float]]) -> float:
    """The seconds in which at least one of them was under way: a node makes one backup at a time, the others wait."""
    seconds, until = 0.0, 0.0
    for began, ended in sorted(spans):
        seconds += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return seconds


def _step_of(write: Mapping[str, Any]) -> tuple[int, str | None]:
    """Whose it is, and which step; what runs in a guest is known from the guest."""
    if write["path"].endswith("/vzdump"):
        return 0, "backup"
    found = _VM.fullmatch(write["path"])
    if found is None:
        return 0, None
    if found[2] == "clone":
        return int(write["params"]["newid"]), "clone"
    return int(found[1]), _STEPS.get(found[2])


def _in_the_guest(guest: Guest | None, started: float) -> dict[str, float]:
    if guest is None:
        return {}
    return {"boot": max(0.0, guest.agent_up - started), "identity": guest.identity_done - guest.identity_begun}


def read_guests(machine: str, vmids: Sequence[int]) -> dict[int, Guest]:
    """From the guests' own files, all on one clock; those that do not run are left out. The lab's alone."""
    root = root_of(machine)
    return {} if root is None else dict(_look(root, vmids))


def _look(root: Path, vmids: Sequence[int]) -> Iterator[tuple[int, Guest]]:
    for vmid in vmids:
        pid = guest_pid(root, vmid)
        if pid is None:
            continue
        inside = root / f"proc/{pid}/root"
        try:
            yield (
                vmid,
                Guest(
                    agent_up=(inside / "run/qga.sock").stat().st_ctime,
                    identity_begun=(inside / "etc/machine-id").stat().st_mtime,
                    identity_done=(inside / "var/lib/mgmt-harness/identity").stat().st_mtime,
                ),
            )
        except OSError:  # it is not itself yet, or not any more
            continue


def read_critical_path(machine: str, vmids: Sequence[int]) -> CriticalPath | None:
    """Of the run since the counters were reset."""
    writes: list[dict[str, Any]] = lab.control({"op": "writes"})["result"]
    if not any(write["path"].endswith("/clone") for write in writes):
        return None
    return critical_path(writes, lab.control({"op": "tasks"})["result"], read_guests(machine, vmids))
