"""Guests that follow a script instead of running a system: some come up after a while, some are deaf to everything."""

# ruff: noqa: ARG002 - one shape for all commands of the agent
from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.lab.pve.__main__ import main
from harness.lab.pve.runtime import AgentError, AgentNotRunning, GuestNic, RuntimeFailed

BOOT_S = 15.0
TEXTS = {"/etc/hostname": b"tiny\n"}


@dataclass
class _Guest:
    process: subprocess.Popen[bytes]
    nics: dict[int, GuestNic]
    booted_at: float


class Script:
    """A runtime: `deaf` guests have no system, the others answer as the agent once they are up."""

    def __init__(self, *, pace: float, deaf: Sequence[int], folder: Path) -> None:
        self._pace, self._deaf, self._folder = pace, set(deaf), folder
        self._guests: dict[int, _Guest] = {}
        self._programs: dict[int, subprocess.Popen[bytes]] = {}
        self._files: dict[int, Any] = {}
        self._lock = threading.Lock()

    def create_disk(self, vmid: int, source: int | None, linked: bool) -> None:
        """Nothing is read from a scripted guest's disk."""

    def save_disk(self, vmid: int, target: Path) -> None:
        """Nothing is on a scripted guest's disk."""
        target.write_bytes(b"")

    def load_disk(self, vmid: int, source: Path) -> None:
        """Nothing was saved."""

    def import_disk(self, vmid: int, content: Path | None) -> None:
        """Nothing is read from a scripted guest's disk."""

    def destroy_disk(self, vmid: int) -> None:
        """Nothing was made."""

    def start(self, vmid: int, nics: Sequence[GuestNic]) -> int:
        for nic in nics:
            if nic.bridge != "vmbr0":
                raise RuntimeFailed(f"bridge '{nic.bridge}' does not exist")
        # A process for its memory figures; a guest without a system reports none, so it gets a number nobody has.
        process = subprocess.Popen(["sleep", "600"])
        booted = time.monotonic() + BOOT_S * self._pace
        with self._lock:
            self._guests[vmid] = _Guest(process, {nic.slot: nic for nic in nics}, booted)
        return self._pid(vmid)

    def _pid(self, vmid: int) -> int:
        pid = self._guests[vmid].process.pid
        return pid if vmid not in self._deaf else 4194304 + pid

    def stop(self, vmid: int) -> None:
        with self._lock:
            guest = self._guests.pop(vmid, None)
        if guest is not None:
            guest.process.kill()
            guest.process.wait()

    def shutdown(self, vmid: int, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not self._is_up(vmid):
            if time.monotonic() >= deadline:
                return False
            threading.Event().wait(0.01)
        self.stop(vmid)
        return True

    def reboot(self, vmid: int) -> None:
        self._guests[vmid].booted_at = time.monotonic() + BOOT_S * self._pace

    def freeze(self, vmid: int, *, frozen: bool) -> None:
        """Nothing goes on in a scripted guest that could stand still."""

    def is_running(self, vmid: int) -> int | None:
        with self._lock:
            return self._pid(vmid) if vmid in self._guests else None

    def replug(self, vmid: int, slot: int, mac: str, bridge: str) -> None:
        """A card is given up only by a system that is up."""
        if not self._is_up(vmid):
            raise RuntimeFailed(f"error on hot-unplugging device 'net{slot}'")
        self._guests[vmid].nics[slot] = GuestNic(slot, mac, bridge)

    def set_link(self, vmid: int, slot: int, *, up: bool) -> None:
        """A script has no cable."""

    def unplug(self, vmid: int, slot: int) -> None:
        self._guests[vmid].nics.pop(slot, None)

    def end(self) -> None:
        """A test's guests do not outlive it."""
        for vmid in list(self._guests):
            self.stop(vmid)

    def _is_up(self, vmid: int) -> bool:
        guest = self._guests.get(vmid)
        return vmid not in self._deaf and guest is not None and time.monotonic() >= guest.booted_at

    def agent(self, vmid: int, command: str, arguments: Mapping[str, object], timeout_s: float) -> object:
        deadline = time.monotonic() + timeout_s
        while not self._is_up(vmid):
            if time.monotonic() >= deadline:
                raise AgentNotRunning(command)
            threading.Event().wait(0.005)
        method = getattr(self, "_" + command.removeprefix("guest-").replace("-", "_"), None)
        if method is not None:
            return method(vmid, arguments)
        if command in ANSWERS:
            return ANSWERS[command]
        raise AgentError("CommandNotFound", f"The command {command} has not been found")

    # -- commands with an effect ----------------------------------------------------------------------------------
    def _network_get_interfaces(self, vmid: int, arguments: Mapping[str, object]) -> object:
        cards = [_interface("lo", "00:00:00:00:00:00", "127.0.0.1", 8)]
        for nic in self._guests[vmid].nics.values():
            cards.append(_interface(f"eth{nic.slot}", nic.mac.lower(), "198.18.99.50", 24))
        return cards

    def _exec(self, vmid: int, arguments: Mapping[str, Any]) -> object:
        stdin = base64.b64decode(arguments.get("input-data", ""))
        try:
            pipe = subprocess.PIPE
            program = subprocess.Popen(
                [arguments["path"], *arguments.get("arg", [])], stdin=pipe, stdout=pipe, stderr=pipe
            )
        except FileNotFoundError as error:
            quoted = f"\u201c{arguments['path']}\u201d"
            text = f"Guest agent command failed, error was 'Failed to execute child process {quoted}'"
            raise AgentError("GenericError", text) from error
        assert program.stdin is not None
        program.stdin.write(stdin)
        program.stdin.close()
        self._programs[program.pid] = program
        return {"pid": program.pid}

    def _exec_status(self, vmid: int, arguments: Mapping[str, Any]) -> object:
        program = self._programs.get(arguments["pid"])
        if program is None:
            raise AgentError("GenericError", "Invalid parameter 'pid'")
        if program.poll() is None:
            return {"exited": False}
        del self._programs[arguments["pid"]]
        assert program.stdout is not None
        assert program.stderr is not None
        answer: dict[str, object] = {"exited": True, "exitcode": program.returncode}
        for name, stream in (("out", program.stdout), ("err", program.stderr)):
            if text := stream.read():
                answer |= {f"{name}-data": base64.b64encode(text).decode()}
        return answer

    def _file_open(self, vmid: int, arguments: Mapping[str, Any]) -> object:
        path, mode = str(arguments["path"]), str(arguments.get("mode", "r"))
        real = self._folder / path.replace("/tmp/", "", 1) if path.startswith("/tmp/") else None  # noqa: S108 - the guest's
        if path in TEXTS:
            (self._folder / "text").write_bytes(TEXTS[path])
            real = self._folder / "text"
        if real is None:
            text = f"failed to open file '{path}' (mode: '{mode}'): No such file or directory"
            raise AgentError("GenericError", text)
        handle = len(self._files) + 1000
        self._files[handle] = real.open("wb" if "w" in mode else "rb")
        return handle

    def _file_read(self, vmid: int, arguments: Mapping[str, Any]) -> object:
        data = self._files[arguments["handle"]].read(arguments["count"])
        return {"count": len(data), "buf-b64": base64.b64encode(data).decode(), "eof": len(data) < arguments["count"]}

    def _file_write(self, vmid: int, arguments: Mapping[str, Any]) -> object:
        data = base64.b64decode(arguments["buf-b64"])
        return {"count": self._files[arguments["handle"]].write(data), "eof": False}

    def _file_close(self, vmid: int, arguments: Mapping[str, Any]) -> object:
        self._files[arguments["handle"]].close()
        return {}


def _interface(name: str, mac: str, address: str, prefix: int) -> dict[str, object]:
    counters = [f"{way}-{what}" for way in ("rx", "tx") for what in ("bytes", "dropped", "errs", "packets")]
    six = {"ip-address": "fe80::1", "ip-address-type": "ipv6", "prefix": 64}
    four = {"ip-address": address, "ip-address-type": "ipv4", "prefix": prefix}
    item = {"name": name, "hardware-address": mac, "ip-addresses": [four, six]}
    return item | {"statistics": dict.fromkeys(counters, 0)}


ANSWERS: Mapping[str, object] = {
    "guest-ping": {},
    "guest-get-host-name": {"host-name": "scripted"},
    "guest-get-osinfo": {
        "id": "tiny",
        "name": "tiny",
        "pretty-name": "A scripted guest",
        "version-id": "1",
        "machine": os.uname().machine,
        "kernel-release": os.uname().release,
        "kernel-version": os.uname().version,
    },
    "guest-get-time": 1700000000000000000,
    "guest-get-timezone": {"zone": "UTC", "offset": 0},
    "guest-get-users": [],
    "guest-get-vcpus": [{"logical-id": 0, "online": True, "can-offline": False}],
    "guest-get-memory-blocks": [{"phys-index": 0, "online": True, "can-offline": True}],
    "guest-info": {
        "version": "7.2.0",
        "supported_commands": [{"name": "guest-ping", "enabled": True, "success-response": True}],
    },
    "guest-get-fsinfo": [
        {
            "name": "sda1",
            "mountpoint": "/",
            "type": "ext4",
            "used-bytes": 1,
            "total-bytes": 2,
            "disk": [
                {
                    "bus": 0,
                    "bus-type": "scsi",
                    "dev": "/dev/sda1",
                    "target": 0,
                    "unit": 0,
                    "pci-controller": {"bus": 0, "domain": 0, "function": 0, "slot": 5},
                }
            ],
        }
    ],
    "guest-fstrim": {"paths": [{"path": "/", "trimmed": 1, "minimum": 0}]},
    "guest-fsfreeze-status": "thawed",
}


if __name__ == "__main__":
    # The simulator's own arguments behind three of ours: pace, deaf guests, folder.
    pace, deaf, folder, *rest = sys.argv[1:]
    numbers = [int(number) for number in deaf.split(",") if number]
    script = Script(pace=float(pace), deaf=numbers, folder=Path(folder))
    try:
        main([*rest, "--pace", pace], script)
    finally:
        script.end()
