"""Run guests as systemd in namespaces of their own, behind a NIC with their MAC on the hypervisor's bridge."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .agent_socket import ask_agent
from .guest_disks import GuestDisks
from .runtime import AgentNotRunning, GuestNic, RuntimeFailed
from .waiting import wait_until

PROGRAMS = Path(__file__).parent.parent / "bin"
CGROUPS = Path("/sys/fs/cgroup/qemu.slice")
AGENT_SOCKET = "run/qga.sock"
POWER_OFF = signal.SIGRTMIN + 4  # systemd's own signal for "start poweroff.target": a VM's power button
START_TIME = 19  # index in /proc/PID/stat behind the command's name
_DOWN = "down"  # behind a NIC whose cable is not plugged in
START_S = 10.0
POWER_CUT_S = 10.0


class NamespaceRuntime:
    """Guests below `directory`, cloned from the layers `image` names; nothing of their state is in this process."""

    def __init__(self, directory: Path, image: Path) -> None:
        self._disks = GuestDisks(directory, image)
        self._locks: dict[int, threading.Lock] = {}
        self._agent_locks: dict[int, threading.Lock] = {}

    def create_disk(self, vmid: int, source: int | None, linked: bool) -> None:
        self._disks.create(vmid, source, linked)

    def save_disk(self, vmid: int, target: Path) -> None:
        self._disks.save(vmid, target)

    def load_disk(self, vmid: int, source: Path) -> None:
        self._disks.load(vmid, source)

    def import_disk(self, vmid: int, content: Path | None) -> None:
        self._disks.fill(vmid, content)

    def destroy_disk(self, vmid: int) -> None:
        self._disks.destroy(vmid)

    def start(self, vmid: int, nics: Sequence[GuestNic]) -> int:
        """Boot the guest; see the protocol."""
        with self._lock(vmid):
            running = self.is_running(vmid)
            if running is not None:
                return running
            for nic in nics:
                _require_bridge(nic.bridge)
            self._clear(vmid)
            guest = self._guest(vmid)
            if not guest.exists():
                raise RuntimeFailed(f"VM {vmid} has no disk")
            (guest / "hostname").write_text("localhost")  # the system's own /etc/hostname replaces it
            (guest / "nics").write_text("".join(_nic_line(vmid, nic) for nic in nics))
            self._launch(vmid)
            return self._wait_booting(vmid)

    def stop(self, vmid: int) -> None:
        """Cut the power."""
        with self._lock(vmid):
            self._clear(vmid)

    def shutdown(self, vmid: int, timeout_s: float) -> bool:
        """Press the power button and wait; again each second, because a system that just starts ignores it."""
        guest = self._guest(vmid)
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            first = _alive(guest / "pid")
            if first is not None:
                os.kill(first, POWER_OFF)
            if wait_until(lambda: self.is_running(vmid) is None, timeout_s=min(left, 1.0)):
                self.stop(vmid)
                return True
        return False

    def reboot(self, vmid: int) -> None:
        """Press the reset button: the supervisor boots the guest again."""
        guest = self._guest(vmid)
        first = _alive(guest / "pid")
        if first is None:
            return
        (guest / "reset").touch()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: _alive(guest / "pid") not in (None, first), timeout_s=START_S)

    def freeze(self, vmid: int, *, frozen: bool) -> None:
        """The kernel answers for a frozen guest as far as it does alone: ping and TCP's handshake, and nothing more."""
        group = _group(vmid)
        if group.exists():
            (group / "cgroup.freeze").write_text("1" if frozen else "0")

    def is_running(self, vmid: int) -> int | None:
        """The supervisor's pid: like QEMU's it stays the same while the guest's system restarts."""
        return _alive(self._guest(vmid) / "supervisor")

    def replug(self, vmid: int, slot: int, mac: str, bridge: str) -> None:
        """Give the running guest another NIC in that slot."""
        _require_bridge(bridge)
        with self._lock(vmid):
            first = _alive(self._guest(vmid) / "pid")
            if first is None:
                return
            self._forget_nic(vmid, slot)
            line = _nic_line(vmid, GuestNic(slot, mac, bridge))
            outside, inside, mac, bridge = line.split()
            _ip(
                "link",
                "add",
                "name",
                inside,
                "address",
                mac,
                "netns",
                f"/proc/{first}/ns/net",
                "type",
                "veth",
                "peer",
                "name",
                outside,
                "address",
                f"fe:{mac.partition(':')[2]}",  # high, as `boot` explains
            )
            _ip("link", "set", outside, "master", bridge, "up")
            with (self._guest(vmid) / "nics").open("a") as file:
                file.write(line)

    def set_link(self, vmid: int, slot: int, *, up: bool) -> None:
        """Also for the time after the guest's next reboot."""
        tap = f"tap{vmid}i{slot}"
        with self._lock(vmid):
            if _alive(self._guest(vmid) / "pid") is None:
                return
            _ip("link", "set", tap, "up" if up else "down")
            nics = self._guest(vmid) / "nics"
            nics.write_text("".join(_with_link(line, tap, up=up) for line in nics.read_text().splitlines(True)))

    def unplug(self, vmid: int, slot: int) -> None:
        """Take the running guest's NIC away."""
        with self._lock(vmid):
            self._forget_nic(vmid, slot)

    def agent(self, vmid: int, command: str, arguments: Mapping[str, object], timeout_s: float) -> object:
        """Ask qemu-ga in the guest over its socket; it serves one client at a time."""
        first = _alive(self._guest(vmid) / "pid")
        if first is None:
            raise AgentNotRunning(f"VM {vmid} is not running")
        lock = self._agent_locks.setdefault(vmid, threading.Lock())
        if not lock.acquire(timeout=timeout_s):
            raise AgentNotRunning(f"the agent of VM {vmid} is busy with another command")
        try:
            return ask_agent(Path(f"/proc/{first}/root/{AGENT_SOCKET}"), command, arguments, timeout_s)
        finally:
            lock.release()

    def _guest(self, vmid: int) -> Path:
        return self._disks.folder(vmid)

    def _lock(self, vmid: int) -> threading.Lock:
        return self._locks.setdefault(vmid, threading.Lock())

    def _launch(self, vmid: int) -> None:
        """The supervisor in a control group outside this service's: it outlives the simulator and is not its child."""
        with (self._guest(vmid) / "console.log").open("ab") as console:
            subprocess.run(
                ["setsid", "--fork", str(PROGRAMS / "supervise"), str(self._guest(vmid)), str(_group(vmid))],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                check=True,
                cwd="/",
            )

    def _wait_booting(self, vmid: int) -> int:
        guest = self._guest(vmid)
        # `exit` was removed before the launch; the supervisor writes it when the guest ended at once.
        wait_until(lambda: _alive(guest / "pid") is not None or (guest / "exit").exists(), timeout_s=START_S)
        supervisor = self.is_running(vmid)
        if supervisor is None or _alive(guest / "pid") is None:
            said = (guest / "console.log").read_text(errors="replace").splitlines()[-1:]
            self._clear(vmid)
            raise RuntimeFailed(f"start failed: {' '.join(said) or 'the guest ended at once'}")
        return supervisor

    def _clear(self, vmid: int) -> None:
        """Nothing of a run is left: no process, no link, no control group, no pid file."""
        group = _group(vmid)
        if group.exists():
            (group / "cgroup.kill").write_text("1")
            if not wait_until(lambda: _remove_group(group), timeout_s=POWER_CUT_S, every_s=0.005):
                raise RuntimeFailed(f"VM {vmid} still has processes after {POWER_CUT_S:.0f} seconds")
        for link in Path("/sys/class/net").glob(f"tap{vmid}i*"):
            _remove_link(link)
        for name in ("pid", "supervisor", "reset", "exit"):
            (self._guest(vmid) / name).unlink(missing_ok=True)

    def _forget_nic(self, vmid: int, slot: int) -> None:
        tap = f"tap{vmid}i{slot}"
        _remove_link(Path("/sys/class/net", tap))
        nics = self._guest(vmid) / "nics"
        nics.write_text("".join(line for line in nics.read_text().splitlines(True) if line.split()[0] != tap))


def _nic_line(vmid: int, nic: GuestNic) -> str:
    state = "" if nic.is_up else f" {_DOWN}"
    return f"tap{vmid}i{nic.slot} eth{nic.slot} {nic.mac.lower()} {nic.bridge}{state}\n"


def _with_link(line: str, tap: str, *, up: bool) -> str:
    words = line.split()
    return line if words[0] != tap else " ".join(words[:4] if up else [*words[:4], _DOWN]) + "\n"


def _require_bridge(bridge: str) -> None:
    if not Path("/sys/class/net", bridge, "bridge").exists():
        raise RuntimeFailed(f"bridge '{bridge}' does not exist")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _remove_link(link: Path) -> None:
    """The kernel removes it too, some time after the namespace's last process: whoever is first."""
    if link.exists():
        try:
            _ip("link", "delete", link.name)
        except RuntimeFailed:
            if link.exists():
                raise


def _group(vmid: int) -> Path:
    return CGROUPS / f"{vmid}.scope"


def _remove_group(group: Path) -> bool:
    if "populated 1" in (group / "cgroup.events").read_text():
        return False
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:  # its last process is counted out but not yet taken out
            return False
    return True


def _alive(record: Path) -> int | None:
    """The pid in the record, when that very process still runs: pids are used again, start times with them are not."""
    try:
        pid, started = record.read_text().split()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(pid) if fields[START_TIME] == started and fields[0] != "Z" else None
