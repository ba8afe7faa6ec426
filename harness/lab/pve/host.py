"""Facts of the machine the simulator runs on, never invented: /proc, /sys, dpkg, systemd, the certificate."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .certificate import describe_certificate
from .packages import Packages

if TYPE_CHECKING:
    from .options import Options

REPO_IDS = {"8.4.0": "ec58e45e1bcdf2ac", "8.4.1": "2a5fa54a8503f96d"}
SERVICES = (
    "chrony", "corosync", "cron", "ksmtuned", "postfix", "pve-cluster", "pve-firewall", "pve-ha-crm", "pve-ha-lrm",
    "pvedaemon", "pvefw-logger", "pveproxy", "pvescheduler", "pvestatd", "spiceproxy", "sshd", "syslog",
    "systemd-journald", "systemd-timesyncd",
)  # fmt: skip
_PROC = Path("/proc")


class Host:
    """Reads the machine anew at every question, except for what only an upgrade changes."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.packages = Packages()

    # -- version --------------------------------------------------------------------------------------------------
    def pve_version(self) -> str:
        """pve-manager's installed version; a downgrade shows at once."""
        return self.packages.installed("pve-manager") or self._options.pve_version

    def version(self) -> dict[str, str]:
        version = self.pve_version()
        unknown = hashlib.sha256(version.encode()).hexdigest()[:16]
        release = ".".join(version.split(".")[:2])
        return {"version": version, "release": release, "repoid": REPO_IDS.get(version, unknown)}

    def pveversion(self) -> str:
        facts = self.version()
        return f"pve-manager/{facts['version']}/{facts['repoid']}"

    # -- processor and memory -------------------------------------------------------------------------------------
    def memory(self) -> dict[str, dict[str, int]]:
        lines = (_PROC / "meminfo").read_text(encoding="ascii").splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        total, free = kib["MemTotal"] * 1024, kib["MemFree"] * 1024
        swap, swap_free = kib["SwapTotal"] * 1024, kib["SwapFree"] * 1024
        return {
            "memory": {"total": total, "free": free, "used": total - kib["MemAvailable"] * 1024},
            "swap": {"total": swap, "free": swap_free, "used": swap - swap_free},
        }

    def cpu_info(self) -> dict[str, Any]:
        text = (_PROC / "cpuinfo").read_text(encoding="utf-8")

        def first(name: str) -> str:
            match = re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE)
            return match[1] if match else ""

        sockets = len(set(re.findall(r"^physical id\s*: (\d+)$", text, re.MULTILINE))) or 1
        flags = first("flags")
        hvm = "1" if re.search(r"\b(vmx|svm)\b", flags) else ""
        cores = int(first("cpu cores") or cpus()) * sockets
        facts = {"cpus": cpus(), "cores": cores, "sockets": sockets, "model": first("model name")}
        return facts | {"mhz": first("cpu MHz"), "flags": flags, "hvm": hvm, "user_hz": 100}

    def uptime(self) -> int:
        return int(float((_PROC / "uptime").read_text(encoding="ascii").split()[0]))

    def load(self) -> list[str]:
        return (_PROC / "loadavg").read_text(encoding="ascii").split()[:3]

    def status(self) -> dict[str, Any]:
        """What GET /nodes/{node}/status answers."""
        system = platform.uname()
        figures = os.statvfs("/")
        block = figures.f_frsize
        rootfs = {
            "total": figures.f_blocks * block,
            "free": figures.f_bfree * block,
            "avail": figures.f_bavail * block,
            "used": (figures.f_blocks - figures.f_bfree) * block,
        }
        kernel = {"sysname": system.system, "release": system.release, "version": system.version}
        return self.memory() | {
            "uptime": self.uptime(),
            "idle": 0,
            "wait": 0,
            "cpu": min(1.0, float(self.load()[0]) / cpus()),
            "loadavg": self.load(),
            "kversion": f"{system.system} {system.release} {system.version}",
            "current-kernel": kernel | {"machine": system.machine},
            "boot-info": {"mode": "efi" if Path("/sys/firmware/efi").exists() else "legacy-bios"},
            "cpuinfo": self.cpu_info(),
            "ksm": {"shared": 0},
            "rootfs": rootfs,
            "pveversion": self.pveversion(),
        }

    # -- the rest -------------------------------------------------------------------------------------------------
    def time(self) -> dict[str, object]:
        now = int(time.time())
        local = time.localtime(now)
        zone = Path("/etc/timezone")
        name = zone.read_text(encoding="ascii").strip() if zone.is_file() else "UTC"
        return {"time": now, "localtime": now + (local.tm_gmtoff or 0), "timezone": name}

    def dns(self) -> dict[str, str]:
        file = Path("/etc/resolv.conf")
        words = [line.split() for line in file.read_text(encoding="ascii").splitlines()] if file.is_file() else []
        servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
        answer = {f"dns{number}": server for number, server in enumerate(servers[:3], start=1)}
        search = [word[1] for word in words if len(word) > 1 and word[0] in {"search", "domain"}]
        return answer | {"search": search[-1] if search else _domain()}

    def hosts(self) -> dict[str, str]:
        data = Path("/etc/hosts").read_text(encoding="utf-8")
        return {"data": data, "digest": hashlib.sha1(data.encode(), usedforsecurity=False).hexdigest()}

    def certificates(self) -> list[dict[str, Any]]:
        """The CA's (when it is known) and the node's certificate."""
        found = [] if self._options.ca is None else [describe_certificate(self._options.ca, "pve-root-ca.pem")]
        return [*found, describe_certificate(self._options.certificate, "pve-ssl.pem")]

    def fingerprint(self) -> str:
        return str(self.certificates()[-1]["fingerprint"])

    def disks(self) -> list[dict[str, Any]]:
        """The block devices of the machine that are no loops or mappings."""
        found = []
        for path in sorted(Path("/sys/block").iterdir()) if Path("/sys/block").is_dir() else []:
            if re.match(r"(loop|ram|zram|dm-|md|sr|nbd|fd)", path.name):
                continue
            found.append(_disk(path))
        return found

    def services(self) -> list[dict[str, str]]:
        return [self.service(name, shown) for name, shown in _systemd(SERVICES).items()]

    def service(self, name: str, shown: dict[str, str] | None = None) -> dict[str, str]:
        facts = _systemd((name,))[name] if shown is None else shown
        known = facts.get("LoadState") not in {None, "not-found"}
        return {
            "service": name,
            "name": name,
            "desc": facts.get("Description", name) if known else name,
            "state": facts.get("SubState", "dead") if known else "dead",
            "active-state": facts.get("ActiveState", "inactive") if known else "inactive",
            "unit-state": facts.get("UnitFileState") or "static" if known else "not-found",
        }


def cpus() -> int:
    return os.cpu_count() or 1


def _domain() -> str:
    return socket.getfqdn().partition(".")[2] or "localdomain"


def _disk(path: Path) -> dict[str, Any]:
    def fact(name: str, default: str) -> str:
        file = path / name
        return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else default

    rotational = fact("queue/rotational", "0") == "1"
    kind = "nvme" if path.name.startswith("nvme") else "hdd" if rotational else "ssd"
    size = int(fact("size", "0")) * 512
    item = {"devpath": f"/dev/{path.name}", "type": kind, "size": size, "gpt": 0, "health": "UNKNOWN", "wearout": "N/A"}
    item |= {"model": fact("device/model", "unknown"), "vendor": fact("device/vendor", "unknown")}
    return item | {"serial": fact("device/serial", "unknown"), "wwn": fact("device/wwid", "unknown"), "rpm": 0}


def _systemd(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """The properties of each unit; empty where there is no systemd to ask."""
    wanted = "LoadState,SubState,ActiveState,UnitFileState,Description"
    units = [f"{'postfix@-' if name == 'postfix' else 'ssh' if name == 'sshd' else name}.service" for name in names]
    try:
        command = ["systemctl", "show", f"--property={wanted}", *units]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except FileNotFoundError:
        return {name: {} for name in names}
    blocks = done.stdout.split("\n\n") if done.returncode == 0 else []
    parsed = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
    return {name: (parsed[n] if n < len(parsed) else {}) for n, name in enumerate(names)}
