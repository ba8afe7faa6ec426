"""What the hypervisor's own Debian says: packages, hardware, cluster leftovers, mounts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from harness.verify.batch import Answers

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "glusterfs", "fuse.glusterfs", "ceph", "fuse.ceph", "fuse.ceph-fuse"}
    | {"9p", "afs", "ocfs2", "gfs2", "lustre", "beegfs", "fuse.sshfs", "davfs", "fuse.davfs2", "fuse.s3fs"}
)

# A NIC with a device below it is hardware; bridges, taps and veths have none.
_NICS = """for device in /sys/class/net/*/device; do
  test -e "$device" || continue
  nic=${device%/device}
  speed=$(cat "$nic/speed" 2>/dev/null) || speed=-1
  model=$(lspci -s "$(basename "$(readlink -f "$device")")" 2>/dev/null | cut -d' ' -f2-)
  printf '%s|%s|%s|%s\\n' "${nic##*/}" "$(cat "$nic/operstate")" "$speed" "$model"
done"""

COMMANDS = {
    "pve-manager": "dpkg-query -W -f '${db:Status-Abbrev}|${Version}' pve-manager",
    "held": "apt-mark showhold",
    "os-release": "cat /etc/os-release",
    "architecture": "uname -m",
    "cpu": "lscpu",
    "kvm": "test -c /dev/kvm && : <>/dev/kvm && echo usable",
    "memory": "grep MemTotal: /proc/meminfo",
    "disks": "lsblk -J -b -d -o NAME,TYPE,SIZE,ROTA",
    "nics": _NICS,
    "product": "cat /sys/class/dmi/id/product_name",
    # Without its file system mounted, /etc/pve is empty and the absence of a file in it says nothing.
    "corosync-files": "test -d /etc/pve/nodes && for f in /etc/pve/corosync.conf /etc/corosync/corosync.conf; "
    'do test -e "$f" && echo "$f"; done; test -d /etc/pve/nodes',
    "corosync-unit": "systemctl show -p ActiveState --value corosync.service",
    "mounts": "cat /proc/mounts",
}


@dataclass(frozen=True)
class HostNic:
    """A physical link; speed in Mbit/s, -1 when the link is down or does not say."""

    name: str
    up: bool
    speed_mbit: int
    model: str

    def __str__(self) -> str:
        return (
            f"{self.name} {'up' if self.up else 'down'} at {self.speed_mbit} Mbit/s ({self.model or 'model unknown'})"
        )


@dataclass(frozen=True)
class HostDisk:
    """A whole disk."""

    name: str
    size_bytes: int
    rotating: bool

    def __str__(self) -> str:
        return f"{self.name} {self.size_bytes // 10**9} GB {'rotating' if self.rotating else 'solid state'}"


@dataclass(frozen=True)
class HostFacts:
    """The hypervisor's answers, parsed when a check reads them."""

    answers: Answers

    @property
    def pve_manager(self) -> str | None:
        """The installed version; None when the package is not installed."""
        answer = self.answers.answer("pve-manager")
        status, _, version = answer.output.partition("|")
        return version if answer.rc == 0 and status[1:2] == "i" else None

    @property
    def held_packages(self) -> frozenset[str]:
        return frozenset(self.answers.text("held").split())

    @property
    def release(self) -> str:
        return self._os_release().get("VERSION_ID", "")

    @property
    def codename(self) -> str:
        return self._os_release().get("VERSION_CODENAME", "")

    @property
    def distribution(self) -> str:
        return self._os_release().get("ID", "")

    @property
    def architecture(self) -> str:
        return self.answers.text("architecture").strip()

    @property
    def virtualization_flags(self) -> frozenset[str]:
        return frozenset(self._cpu().get("Flags", "").split()) & {"vmx", "svm"}

    @property
    def kvm_opens(self) -> bool:
        return self.answers.answer("kvm").rc == 0

    @property
    def cpu_model(self) -> str:
        return self._cpu().get("Model name", "")

    @property
    def cores(self) -> int:
        cpu = self._cpu()
        return int(cpu["Core(s) per socket"]) * int(cpu["Socket(s)"])

    @property
    def threads(self) -> int:
        return int(self._cpu()["CPU(s)"])

    @property
    def memory_bytes(self) -> int:
        """What the kernel has, in bytes: installed memory less what firmware and kernel keep."""
        return int(self.answers.text("memory").split()[1]) * 1024

    @property
    def disks(self) -> tuple[HostDisk, ...]:
        listed = json.loads(self.answers.text("disks"))["blockdevices"]
        return tuple(
            HostDisk(disk["name"], int(disk["size"]), disk["rota"] in (True, "1", 1))
            for disk in listed
            if disk["type"] == "disk"
        )

    @property
    def nics(self) -> tuple[HostNic, ...]:
        rows = (line.split("|", 3) for line in self.answers.text("nics").splitlines() if line)
        return tuple(HostNic(name, state == "up", int(speed), model) for name, state, speed, model in rows)

    @property
    def product(self) -> str:
        return self.answers.text("product").strip()

    @property
    def corosync_files(self) -> tuple[str, ...]:
        return tuple(self.answers.text("corosync-files").split())

    @property
    def corosync_state(self) -> str:
        return self.answers.text("corosync-unit").strip()

    @property
    def network_mounts(self) -> tuple[str, ...]:
        rows = (line.split() for line in self.answers.text("mounts").splitlines())
        return tuple(f"{row[0]} on {row[1]} ({row[2]})" for row in rows if row[2] in NETWORK_FILE_SYSTEMS)

    def _os_release(self) -> dict[str, str]:
        pairs = re.findall(r'^(\w+)="?([^"\n]*)"?$', self.answers.text("os-release"), re.M)
        return dict(pairs)

    def _cpu(self) -> dict[str, str]:
        rows = (line.partition(":") for line in self.answers.text("cpu").splitlines())
        return {key.strip(): value.strip() for key, _, value in rows}
