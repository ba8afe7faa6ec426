"""What dpkg has installed and apt would install, read again only after one of them changed something."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

NAMES = (
    "proxmox-ve", "pve-manager", "pve-kernel-helper", "proxmox-kernel-helper", "proxmox-default-kernel",
    "proxmox-kernel-6.8", "ceph-fuse", "corosync", "criu", "glusterfs-client", "ifupdown2",
    "intel-microcode", "ksm-control-daemon",
    "libjs-extjs", "libknet1", "libproxmox-acme-perl", "libproxmox-backup-qemu0", "libproxmox-rs-perl",
    "libpve-access-control", "libpve-apiclient-perl", "libpve-cluster-api-perl", "libpve-cluster-perl",
    "libpve-common-perl", "libpve-guest-common-perl", "libpve-http-server-perl", "libpve-network-perl",
    "libpve-notify-perl", "libpve-rs-perl", "libpve-storage-perl", "libspice-server1", "lvm2", "lxc-pve", "lxcfs",
    "novnc-pve", "openvswitch-switch", "proxmox-backup-client", "proxmox-firewall", "proxmox-mail-forward",
    "proxmox-mini-journalreader", "proxmox-offline-mirror-helper", "proxmox-widget-toolkit", "pve-cluster",
    "pve-container", "pve-docs", "pve-edk2-firmware", "pve-esxi-import-tools", "pve-firewall", "pve-firmware",
    "pve-ha-manager", "pve-i18n", "pve-qemu-kvm", "pve-xtermjs", "qemu-server", "smartmontools", "spiceterm", "swtpm",
    "systemd-boot", "vncterm", "zfsutils-linux",
)  # fmt: skip
_STATUS = Path("/var/lib/dpkg/status")
_LISTS = Path("/var/lib/apt/lists")


class Packages:
    def __init__(self) -> None:
        self._dpkg_at, self._apt_at = -1.0, (-1.0, -1.0)
        self._found: dict[str, dict[str, str]] = {}
        self._candidates: dict[str, str] = {}

    def installed(self, name: str) -> str | None:
        """The installed version, None when dpkg does not have it installed."""
        changed = _changed_at(_STATUS)
        if changed != self._dpkg_at:
            self._found, self._dpkg_at = _dpkg(), changed
        fields = self._found.get(name)
        return fields["Version"] if fields is not None and fields["Status"].endswith(" installed") else None

    def versions(self) -> list[dict[str, str]]:
        """PVE's list, as far as dpkg or apt knows it; `Version` is the candidate, `OldVersion` what is installed."""
        changed = (_changed_at(_STATUS), _changed_at(_LISTS))
        if changed != self._apt_at:
            self._candidates, self._apt_at = _candidates(), changed
        return [item for name in NAMES if (item := self._item(name)) is not None]

    def _item(self, name: str) -> dict[str, str] | None:
        fields, installed = self._found.get(name), self.installed(name)
        candidate = self._candidates.get(name)
        if fields is None and candidate is None:
            return None
        fields = fields or {}
        title, _, body = fields.get("Description", name).partition("\n")
        item = {"Package": name, "Title": title, "Description": re.sub(r"\s+", " ", body).strip() or title}
        item |= {"Section": fields.get("Section", "admin"), "Priority": fields.get("Priority", "optional")}
        item |= {"Arch": fields.get("Architecture", "amd64"), "Version": candidate or fields.get("Version", "unknown")}
        item |= {"Origin": "Proxmox" if "pve" in name or "proxmox" in name else "Debian"}
        if installed is None:
            return item | {
                "CurrentState": "ConfigFiles" if "config-files" in fields.get("Status", "") else "NotInstalled"
            }
        return item | {"CurrentState": "Installed", "OldVersion": installed}


def _changed_at(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


def _dpkg() -> dict[str, dict[str, str]]:
    """The stanzas of dpkg's status file for the packages of the list."""
    text = _STATUS.read_text(encoding="utf-8", errors="replace") if _STATUS.is_file() else ""
    found = {}
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): ?(.*(?:\n[ \t].*)*)$", stanza, re.MULTILINE))
        if fields.get("Package") in NAMES:
            found[fields["Package"]] = {"Version": "unknown", "Status": ""} | fields
    return found


def _candidates() -> dict[str, str]:
    """apt's candidate of each package, without refreshing its lists."""
    try:
        command = ["apt-cache", "policy", *NAMES]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        return {}
    found = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (\S+)$", done.stdout, re.MULTILINE)
    return {name: version for name, version in found if version != "(none)"}
