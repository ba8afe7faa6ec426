"""A network as the engine's looks see it: whoever runs on the simulated hypervisor with its declared MAC is there.

The simulator without a runtime has no guests behind it; what a guest would show on the wire is derived here from what
the hypervisor says of it, and what a guest keeps (its identity) is a file.
"""

from __future__ import annotations

import base64
import json
import shlex
import socket
import struct
import subprocess
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from harness.contract import Guest
from harness.engine.looks import GuestLooks
from harness.errors import HarnessError, Unreachable
from harness.observed import ObservedGuest
from harness.pve import read
from harness.pve.client import Client
from harness.remote import known_hosts
from harness.remote.holding import let_go
from harness.remote.known_hosts import HostKey


def key_of(name: str) -> HostKey:
    """A well-formed host key that belongs to a name."""
    kind = b"ssh-ed25519"
    body = sha256(name.encode()).digest()
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(body)) + body
    return HostKey("ssh-ed25519", base64.b64encode(blob).decode())


@dataclass
class Wire:
    """`folder` holds one file per guest that was made itself; `strangers` are addresses somebody else answers at."""

    folder: Path
    client: Client
    learned: Path
    strangers: tuple[str, ...] = ()
    deaf: tuple[str, ...] = ()  # guests whose sshd does not answer
    leaseless: tuple[str, ...] = ()  # guests the DHCP server does not serve
    holds: bool = False  # whether the node's own lock is taken
    pvesh: Path | None = None  # where the node's own pvesh is answered; None: no login as root

    def looks(self) -> GuestLooks:
        return GuestLooks(
            answers=self._answers,
            banner=self._banner,
            host_keys=self._host_keys,
            script=lambda guest: f"be {guest.name}",
            run_by_ssh=self._run,
            pin=self._pin,
            is_pinned=lambda guest: bool(known_hosts.look_up([self.learned], guest.name)),
            lease=self._lease,
            hold=_hold if self.holds else None,
            as_root=self._as_root if self.pvesh is not None else None,
        )

    def is_itself(self, guest: Guest) -> bool:
        return (self.folder / guest.name).exists()

    def _vm(self, guest: Guest) -> ObservedGuest | None:
        vm = read.read_guest(self.client, "hv01", guest.vmid)
        if vm is None or vm.status != "running" or vm.nics["net0"].mac != guest.nic.mac:
            return None
        return vm

    def _answers(self, guest: Guest) -> str | None:
        address = str(guest.nic.address.ip)
        return f"{address} answers ping" if address in self.strangers or self._vm(guest) else None

    def _banner(self, guest: Guest) -> str:
        if self._vm(guest) is None or guest.name in self.deaf or guest.name in self.leaseless:
            raise Unreachable(tried="read the SSH banner", on=guest.name, happened="no route to host", do="wait")
        return "SSH-2.0-OpenSSH_9.2p1 Debian-2"

    def _host_keys(self, guest: Guest, _: Set[str] = frozenset()) -> frozenset[HostKey]:
        self._banner(guest)
        return frozenset({key_of(guest.name if self.is_itself(guest) else "template")})

    def _run(self, guest: Guest, keys: frozenset[HostKey], script: str) -> str:
        assert keys == self._host_keys(guest)
        self.folder.mkdir(exist_ok=True)
        (self.folder / guest.name).write_text(script)
        lines = [f"hostname={guest.name}", f"machine-id={sha256(guest.name.encode()).hexdigest()[:32]}"]
        lines += [f"host-key={key_of(guest.name)}", "changed=host-keys", "done=yes"]
        return "".join(f"mgmt-harness {line}\n" for line in lines)

    def _as_root(self, command: str) -> str:
        program, *argv = shlex.split(command)
        assert self.pvesh is not None
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self.pvesh))
            channel.sendall(json.dumps({"program": program, "argv": argv}).encode() + b"\n")
            answer = json.loads(channel.makefile().readline() or '{"code": 255, "stderr": "the node fell silent"}')
        if answer["code"] != 0:
            raise HarnessError(tried=command, on="hv01", happened=answer["stderr"], do="look there")
        return str(answer["stdout"])

    def _pin(self, guest: Guest, keys: frozenset[HostKey]) -> None:
        known_hosts.pin(self.learned, guest.name, str(guest.nic.address.ip), keys)

    def _lease(self, guest: Guest) -> str | None:
        return str(guest.nic.address.ip) if self._vm(guest) and guest.name not in self.leaseless else None


@contextmanager
def _hold(command: str) -> Iterator[str]:
    """The node's shell is this machine's."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(["sh", "-c", command], stdin=pipe, stdout=pipe, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().rstrip("\n")
    finally:
        let_go(process)
