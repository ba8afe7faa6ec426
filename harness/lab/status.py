"""Tell what a running lab consists of, from its record, its processes and the simulator's own state."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.lab import cgroups, machines
from harness.lab.cable import is_plugged
from harness.lab.credentials import PURPOSES
from harness.lab.disks import GUESTS_INSIDE
from harness.lab.paths import MACHINES, SECRETS
from harness.lab.record import Record, read_record
from harness.lab.router.daemons import LEASES_FILE
from harness.lab.spec import (
    LabApi,
    LabDns,
    LabGuest,
    LabHost,
    LabRouter,
    LabRouterApi,
    LabSsh,
    LabStatus,
    LabToken,
    Work,
)

DNS_PORT = 53
SIMULATOR_STATE = "var/lib/pve-simulator"
LEASES = "var/lib/misc/dnsmasq.leases"


def status() -> LabStatus:
    """What is there now; also while nothing is."""
    record = read_record()
    if record is None:
        return LabStatus(up=False)
    root = root_of(record.hypervisor[0])
    known = _simulated(root)
    return LabStatus(
        up=is_whole(record),
        site=record.site,
        hypervisor_state=record.hypervisor_state,
        latency=record.latency,
        work=_work(known),
        api=_api(record),
        ssh=LabSsh(str(SECRETS / "ssh/id_ed25519"), (str(SECRETS / "ssh/known_hosts"),), "root"),
        dns=LabDns(record.router[1], DNS_PORT),
        router=_router(record),
        hosts=tuple(LabHost(name, address, machines.running(MACHINES / name)) for name, address in _hosts(record)),
        guests=() if root is None or known is None else _guests(record, root, known),
    )


def is_whole(record: Record) -> bool:
    """Whether switch, cable and both machines run; a machine that reboots just now counts as running."""
    if not is_plugged(record.latency):
        return False
    processes = [MACHINES / "switch/pid", *(MACHINES / name / "supervisor" for name, _ in _hosts(record))]
    return all(machines.alive(process, Path("/proc")) is not None for process in processes)


def _hosts(record: Record) -> tuple[tuple[str, str], ...]:
    return (record.router, record.hypervisor)


def root_of(machine: str) -> Path | None:
    """The machine's own file system as seen from here; None when it does not run."""
    pid = machines.running(MACHINES / machine)
    return None if pid is None else Path(f"/proc/{pid}/root")


def memory_mib() -> float:
    """What the lab's processes take together, guests included; shared pages are counted once."""
    if not cgroups.lab_group().exists():
        return 0.0
    return sum(_pss_kib(pid) for pid in set(cgroups.processes())) / 1024


def _pss_kib(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended after it was listed
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def _api(record: Record) -> LabApi:
    return LabApi(
        url=f"https://{record.hypervisor[1]}:8006",
        ca_file=str(SECRETS / "pve-root-ca.pem"),
        fingerprint=record.fingerprint,
        root_user="root@pam",
        root_password_file=str(SECRETS / "root.password"),
        tokens={
            purpose: LabToken(f"{purpose}@pve!harness", str(SECRETS / f"{purpose}.token"))
            for purpose in PURPOSES
            if (SECRETS / f"{purpose}.token").exists()  # on an installed hypervisor bootstrap makes them
        },
    )


def _router(record: Record) -> LabRouter:
    if record.router_kind == "dnsmasq":
        return LabRouter("dnsmasq", None)
    secret = SECRETS / "router-api.secret"
    api = LabRouterApi(
        url=f"https://{record.router[1]}:443",
        ca_file=str(SECRETS / "pve-root-ca.pem"),
        fingerprint=(SECRETS / "router-api.fingerprint").read_text().strip(),
        key_file=str(SECRETS / "router-api.key"),
        secret_file=str(secret) if secret.exists() else None,
    )
    return LabRouter(record.router_kind, api)


def _simulated(root: Path | None) -> dict[str, Any] | None:
    """From the simulator's files, not its API: looking must not use up a fault somebody has set."""
    text = _text(root, f"{SIMULATOR_STATE}/state.json")
    known: dict[str, Any] | None = None if text is None else json.loads(text)
    return known


def _work(known: Mapping[str, Any] | None) -> Work | None:
    return None if known is None else "recorded" if known.get("work") == "recorded" else "instant"


def _guests(record: Record, root: Path, known: Mapping[str, Any]) -> tuple[LabGuest, ...]:
    leases = _dnsmasq_leases(record.router[0]) if record.router_kind == "dnsmasq" else _kea_leases(record.router[0])
    return tuple(_guest(int(vmid), vm["config"], root, leases) for vmid, vm in sorted(known["vms"].items()))


def guest_pid(machine_root: Path, vmid: int) -> int | None:
    """The pid of the guest's systemd as the hypervisor counts; None when it does not run."""
    return machines.alive(machine_root / GUESTS_INSIDE[1:] / str(vmid) / "pid", machine_root / "proc")


def _guest(vmid: int, config: dict[str, str], root: Path, leases: dict[str, str]) -> LabGuest:
    found = re.search(r"=((?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})", config.get("net0", ""))
    mac = found[1] if found else None
    running = guest_pid(root, vmid) is not None
    return LabGuest(
        vmid=vmid,
        name=config.get("name", f"VM {vmid}"),
        mac=mac,
        address=leases.get(mac.lower()) if mac and running else None,
        status="running" if running else "template" if config.get("template") == "1" else "stopped",
    )


def _kea_leases(router: str) -> dict[str, str]:
    """Address by MAC, as Kea keeps them: address and MAC first; a later line wins."""
    text = _text(root_of(router), LEASES_FILE[1:])
    fields = [line.split(",") for line in (text or "").splitlines()[1:]]
    return {line[1].lower(): line[0] for line in fields if len(line) >= 4}


def _dnsmasq_leases(router: str) -> dict[str, str]:
    """Address by MAC, as dnsmasq keeps them: expiry, MAC, address, name, client identifier."""
    text = _text(root_of(router), LEASES)
    fields = [line.split() for line in (text or "").splitlines()]
    return {line[1].lower(): line[2] for line in fields if len(line) >= 4}


def _text(root: Path | None, name: str) -> str | None:
    """A file of a machine; None when it has none, or when the machine ends while we look."""
    try:
        return None if root is None else (root / name).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
