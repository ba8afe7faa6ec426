"""Ways into the running lab: SSH to any machine, and the simulator's control socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, Invalid, Unreachable
from harness.lab.paths import KNOWN_HOSTS, SECRETS
from harness.lab.record import Record, read_record
from harness.lab.spec import LabGuest, Work
from harness.lab.status import SIMULATOR_STATE, guest_pid, root_of, status
from harness.lab.trees import write_file

CONTROL_DEADLINE_S = 60.0
HOST_KEY = "etc/ssh/ssh_host_ed25519_key.pub"


def ssh_command(name: str) -> list[str]:
    """The command that logs in to the router, the hypervisor or a guest; it checks the host key it knows."""
    record = _require_record()
    for host, address in (record.router, record.hypervisor):
        if name == host:
            return _ssh("root", address, KNOWN_HOSTS / host)
    guests = {guest.name: guest for guest in status().guests if guest.address is not None}
    if name not in guests:
        known = ", ".join([record.router[0], record.hypervisor[0], *guests])
        raise Invalid(
            tried="log in",
            on=name,
            happened="the lab has no such machine, or it holds no address now",
            do=f"Use one of these: {known}",
        )
    guest = guests[name]
    return _ssh(record.user, str(guest.address), _known_host(record, guest))


def control(request: dict[str, Any]) -> dict[str, Any]:
    """The simulator's answer to one request on its control socket: faults, counters, changes behind the API's back."""
    record = _require_record()
    root = root_of(record.hypervisor[0])
    try:
        if root is None:
            raise FileNotFoundError(f"{record.hypervisor[0]} does not run")
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(CONTROL_DEADLINE_S)
            channel.connect(str(root / SIMULATOR_STATE / "control.sock"))
            with channel.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                answer: dict[str, Any] = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise Unreachable(
            tried="talk to the simulator",
            on=record.hypervisor[0],
            happened=str(error),
            do="Look at it: ./invoke lab.ssh " + record.hypervisor[0] + ", then systemctl status pveproxy",
        ) from error
    return answer


def take_work(work: Work) -> None:
    """PVE's tasks that begin from now on take as long as that says."""
    answer = control({"op": "work", "work": work})
    if not answer["ok"]:
        raise HarnessError(
            tried=f"let PVE's tasks take their time: {work}",
            on="the simulator",
            happened=str(answer["error"]),
            do="Make the lab anew: ./invoke lab.down, ./invoke lab.up",
        )


def _require_record() -> Record:
    record = read_record()
    if record is None:
        raise HarnessError(
            tried="use the lab", on="this machine", happened="it is not up", do="Bring it up: ./invoke lab.up"
        )
    return record


def _known_host(record: Record, guest: LabGuest) -> Path:
    """The guest's host key as it stands on its disk: known from inside, so nothing is believed on first sight."""
    root = root_of(record.hypervisor[0])
    pid = None if root is None else guest_pid(root, guest.vmid)
    if root is None or pid is None:
        raise Unreachable(
            tried="read the host key", on=guest.name, happened="it does not run", do="Start it, then run this again"
        )
    kind, value, *_ = (root / f"proc/{pid}/root" / HOST_KEY).read_text().split()
    path = KNOWN_HOSTS / guest.name
    write_file(path, f"{guest.address} {kind} {value}\n", 0o600)
    return path


def _ssh(user: str, address: str, known_hosts: Path) -> list[str]:
    options = {
        "IdentityFile": SECRETS / "ssh/id_ed25519",
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": 10,
        # A machine that is powered off says no goodbye; without these the login would wait for it for ever.
        "ServerAliveInterval": 2,
        "ServerAliveCountMax": 3,
        "LogLevel": "ERROR",
    }
    return ["ssh", "-F", "none", *(f"-o{key}={value}" for key, value in options.items()), f"{user}@{address}"]
