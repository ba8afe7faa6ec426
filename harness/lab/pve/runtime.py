"""What the simulator asks of whatever really runs the guests, and the runtime without any process behind it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class GuestNic(NamedTuple):
    """One NIC of a guest: `slot` is PVE's number (0 for net0), so its tap is called tap<vmid>i<slot>."""

    slot: int
    mac: str
    bridge: str
    is_up: bool = True  # False: the cable is not plugged in


class RuntimeFailed(Exception):
    """The runtime could not do it; the text is what ends up behind `TASK ERROR:`, so write it as PVE would."""


class AgentNotRunning(Exception):
    """Nothing answers on the guest agent's socket."""


class AgentError(Exception):
    """The guest agent answered with an error object."""

    def __init__(self, error_class: str, description: str) -> None:
        self.error_class, self.description = error_class, description
        super().__init__(description)


class GuestRuntime(Protocol):
    """Everything a guest needs from the machine; every call may block and may come from several threads at once.

    A guest outlives the simulator: `is_running` must find guests that an earlier simulator process started.
    """

    def create_disk(self, vmid: int, source: int | None, linked: bool) -> None:
        """Give `vmid` a disk: empty, or the content of `source`'s (linked: shared with it, copied on write).

        An existing disk of `vmid` is replaced: it is what a killed clone left behind.
        """

    def save_disk(self, vmid: int, target: Path) -> None:
        """Write everything on the disk of `vmid` to the file `target`; the guest may run meanwhile."""

    def load_disk(self, vmid: int, source: Path) -> None:
        """Give `vmid` the disk that was saved to `source`; an existing one is replaced."""

    def import_disk(self, vmid: int, content: Path | None) -> None:
        """Give `vmid` a disk with the file tree of the tar file `content`; None: a disk with nothing to boot."""

    def destroy_disk(self, vmid: int) -> None:
        """Forget the disk of `vmid`; no disk is no error, and clones of it live on."""

    def start(self, vmid: int, nics: Sequence[GuestNic]) -> int:
        """Boot the guest and return its first process's pid; an unknown bridge raises RuntimeFailed.

        Returns when the machine runs, not when its system is up (as QEMU does). A failed start leaves nothing.
        """

    def stop(self, vmid: int) -> None:
        """Cut the power and take the NICs away; a guest that does not run is no error."""

    def shutdown(self, vmid: int, timeout_s: float) -> bool:
        """Ask the guest's system to power off; True when it did within `timeout_s`, its NICs taken away."""

    def reboot(self, vmid: int) -> None:
        """Reset the running guest in place: same NICs, same disk, its system starts again."""

    def freeze(self, vmid: int, *, frozen: bool) -> None:
        """Let the running guest's processors stand still, or go on; a guest that does not run is no error."""

    def is_running(self, vmid: int) -> int | None:
        """The pid of the guest's first process, or None when it does not run."""

    def replug(self, vmid: int, slot: int, mac: str, bridge: str) -> None:
        """Give NIC `slot` of the running guest another MAC or bridge, or plug it in when it is new."""

    def set_link(self, vmid: int, slot: int, *, up: bool) -> None:
        """Plug the cable of NIC `slot` of the running guest in, or pull it."""

    def unplug(self, vmid: int, slot: int) -> None:
        """Take NIC `slot` away from the running guest; a NIC that is not there is no error."""

    def agent(self, vmid: int, command: str, arguments: Mapping[str, object], timeout_s: float) -> object:
        """The `return` value of one guest agent command (QMP's names: guest-ping, guest-exec, ...).

        Raises AgentNotRunning when nothing answers within `timeout_s`, AgentError for an error object.
        """


class NoRuntime:
    """Guests without any process: they have a state and nothing else, so nobody answers as their agent."""

    def __init__(self, known_bridges: Callable[[], Sequence[str]], running: Mapping[int, int]) -> None:
        self._known_bridges = known_bridges
        self._running = dict(running)  # an earlier simulator's guests run on
        self._pids = itertools.count(100000)
        self._lock = threading.Lock()

    def create_disk(self, vmid: int, source: int | None, linked: bool) -> None:
        """A disk is a line in the configuration here, nothing to make."""

    def save_disk(self, vmid: int, target: Path) -> None:  # noqa: ARG002 - there is nothing on it
        target.write_bytes(b"")

    def load_disk(self, vmid: int, source: Path) -> None:
        """Nothing was on it, nothing to bring back."""

    def import_disk(self, vmid: int, content: Path | None) -> None:
        """A disk is a line in the configuration here, nothing to fill."""

    def destroy_disk(self, vmid: int) -> None:
        """Nothing was made, nothing to remove."""

    def start(self, vmid: int, nics: Sequence[GuestNic]) -> int:
        bridges = self._known_bridges()
        for nic in nics:
            if nic.bridge not in bridges:
                raise RuntimeFailed(f"bridge '{nic.bridge}' does not exist")
        with self._lock:
            return self._running.setdefault(vmid, next(self._pids))

    def stop(self, vmid: int) -> None:
        with self._lock:
            self._running.pop(vmid, None)

    def shutdown(self, vmid: int, timeout_s: float) -> bool:  # noqa: ARG002 - nobody is there to take its time
        self.stop(vmid)
        return True

    def reboot(self, vmid: int) -> None:
        """A guest without processes has nothing to start again."""

    def freeze(self, vmid: int, *, frozen: bool) -> None:
        """A guest without processes stands still anyway."""

    def is_running(self, vmid: int) -> int | None:
        with self._lock:
            return self._running.get(vmid)

    def replug(self, vmid: int, slot: int, mac: str, bridge: str) -> None:
        """A guest without processes has no NIC to change."""

    def set_link(self, vmid: int, slot: int, *, up: bool) -> None:
        """A guest without processes has no cable."""

    def unplug(self, vmid: int, slot: int) -> None:
        """A guest without processes has no NIC to take away."""

    def agent(self, vmid: int, command: str, arguments: Mapping[str, object], timeout_s: float) -> object:  # noqa: ARG002
        raise AgentNotRunning(f"VM {vmid} has no process that could answer {command}")
