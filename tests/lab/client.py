"""A plain HTTPS client and a shell for the lab's tests: they share no code with the harness's own client."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

from harness import lab
from harness.lab import LabStatus
from harness.wait import wait_until

T = TypeVar("T")

NODE = "/nodes/hv01"
TEMPLATE = 9000


@dataclass(frozen=True)
class Reserved:
    """A VM the lab's router knows."""

    vmid: int
    name: str
    mac: str
    address: str


METRICS = Reserved(130, "metrics-vm01", "02:de:99:01:01:01", "198.18.99.30")
LOGS = Reserved(131, "logs-vm01", "02:de:99:01:02:01", "198.18.99.31")


@dataclass(frozen=True)
class Api:
    """root@pam at the lab's API, with PVE's envelope taken off."""

    url: str
    session: requests.Session

    def call(self, method: str, path: str, **parameters: Any) -> Any:
        query, body = (parameters, None) if method == "GET" else (None, parameters)
        answer = self.session.request(method, f"{self.url}/api2/json{path}", params=query, data=body, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.reason} {answer.text}"
        return answer.json()["data"]

    def run(self, method: str, path: str, **parameters: Any) -> None:
        """A call that starts a task, and the task's good end."""
        upid = self.call(method, path, **parameters)
        task = wait(lambda: self._ended(upid), deadline_s=30, what=f"the end of {upid}")
        assert task["exitstatus"] == "OK", task

    def status(self, vmid: int) -> str:
        return str(self.call("GET", f"{NODE}/qemu/{vmid}/status/current")["status"])

    def start_clone(self, vm: Reserved) -> None:
        """A linked clone of the template with the MAC the router knows, started and with its address."""
        self.run("POST", f"{NODE}/qemu/{TEMPLATE}/clone", newid=vm.vmid, name=vm.name)
        self.call("PUT", f"{NODE}/qemu/{vm.vmid}/config", net0=f"virtio={vm.mac},bridge=vmbr0")
        self.start(vm)

    def start(self, vm: Reserved) -> None:
        """Start it and wait until somebody can log in."""
        self.run("POST", f"{NODE}/qemu/{vm.vmid}/status/start")
        self.wait_reachable(vm)

    def wait_reachable(self, vm: Reserved) -> None:
        """The address comes first, sshd some time after it."""
        wait(lambda: self.holds_address(vm), deadline_s=30, what=f"{vm.address} in {vm.name}")
        wait(lambda: listens(vm.address), deadline_s=30, what=f"sshd on {vm.address}")

    def holds_address(self, vm: Reserved) -> bool | None:
        """What the guest itself says through its agent."""
        path = f"{NODE}/qemu/{vm.vmid}/agent/network-get-interfaces"
        answer = self.session.get(f"{self.url}/api2/json{path}", timeout=60)
        if not answer.ok:
            return None
        found = {
            (nic.get("hardware-address"), address["ip-address"])
            for nic in answer.json()["data"]["result"]
            for address in nic.get("ip-addresses", [])
        }
        return True if (vm.mac, vm.address) in found else None

    def _ended(self, upid: str) -> Any:
        task = self.call("GET", f"{NODE}/tasks/{upid}/status")
        return task if task["status"] == "stopped" else None


def connect(status: LabStatus) -> Api:
    """Log in as root."""
    assert status.api is not None
    session = requests.Session()
    session.trust_env = False
    session.verify = status.api.ca_file
    login = {"username": status.api.root_user, "password": Path(status.api.root_password_file).read_text()}
    answer = session.post(f"{status.api.url}/api2/json/access/ticket", data=login, timeout=30)
    answer.raise_for_status()
    session.cookies.set("PVEAuthCookie", answer.json()["data"]["ticket"])
    session.headers["CSRFPreventionToken"] = answer.json()["data"]["CSRFPreventionToken"]
    return Api(status.api.url, session)


def listens(address: str) -> bool | None:
    try:
        socket.create_connection((address, 22), timeout=2).close()
    except OSError:
        return None
    return True


def wait(look: Callable[[], T | None], *, deadline_s: float, what: str) -> T:
    """What `look` found in the end; a failed test when it found nothing in time."""
    waited = wait_until(lambda: (look(), what), deadline_s=deadline_s, longest_pause_s=0.2)
    assert waited.value is not None, f"no {what} within {deadline_s:.0f} s"
    return waited.value


def shell(machine: str, command: str) -> str:
    """The output of a command run in a machine of the lab over SSH."""
    done = subprocess.run([*lab.ssh_command(machine), command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command} on {machine}: {done.stderr}"
    return done.stdout.strip()
