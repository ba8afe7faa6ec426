"""Let a fault befall one call: before its work, after it, or instead of it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .failures import ApiError, died
from .faults import Fault, power_loss
from .snapshots import take
from .waiting import pause, wait_until

if TYPE_CHECKING:
    from .simulator import Simulator

_VMID = re.compile(r"/qemu/(\d+)")
_DEATH_S = 10.0


class DroppedError(Exception):
    """The connection is to be closed without an answer; `resets` by a TCP reset instead of a close."""

    def __init__(self, *, resets: bool = False) -> None:
        super().__init__()
        self.resets = resets


@dataclass(frozen=True)
class CutAnswer:
    """An answer of which only half is to be sent."""

    answer: object


@dataclass(frozen=True)
class LostAnswer:
    """What was done and answered, and lost on the way through the proxy."""

    status: int
    reason: str


def strike(sim: Simulator, fault: Fault | None, path: str, work: Callable[[], object]) -> object:
    """The call with its fault, if it has one."""
    if fault is None:
        return work()
    kind, _, moment = fault.kind.rpartition("-")
    if moment == "before":
        _befall(sim, kind, fault)
        return work()  # only a snapshot lets the call go on
    if kind and moment == "after":
        try:
            answer = work()
        except ApiError:
            _befall(sim, kind, fault)
            raise
        _befall(sim, kind, fault)
        return answer
    return _replaced(fault, path, work)


def _befall(sim: Simulator, kind: str, fault: Fault) -> None:
    match kind:
        case "drop" | "reset":
            raise DroppedError(resets=kind == "reset")
        case "596":
            raise ApiError(fault.status if fault.status > 595 else 596, fault.reason or "Connection timed out")
        case "kill":
            _kill(fault.pid)
            raise DroppedError
        case "crash":
            power_loss()
        case "snapshot":
            take(sim, fault.text)


def _replaced(fault: Fault, path: str, work: Callable[[], object]) -> object:
    match fault.kind:
        case "status":
            raise ApiError(fault.status, fault.reason or "broken on request")
        case "lock":
            vmid = found[1] if (found := _VMID.search(path)) else "100"
            raise died(f"can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout")
        case "stall":
            pause(fault.seconds)
            return work()
        case "cut":
            return CutAnswer(work())
        case _:
            work()
            return LostAnswer(fault.status if fault.status > 595 else 596, fault.reason or "Broken pipe")


def _kill(pid: int) -> None:
    """Return when it is gone: nothing of it may run on when the call is answered."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _is_gone(pid), timeout_s=_DEATH_S, every_s=0.002)


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
