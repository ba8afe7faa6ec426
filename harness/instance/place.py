"""Where a running nested Proxmox VM keeps what belongs to it: one folder, one control group, one link for each site."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.lab import Place

ROOT = Path("/var/lib/mgmt-nested")
LOGS = Path("/var/log/mgmt-nested")  # what a console said is read after `down`, too

# Below a site's folder.
OVERLAY = "overlay.qcow2"
EFIVARS = "efivars.fd"
MONITOR = "qmp.sock"
RECORD = "record.json"

MEMORY = "memory_mib"  # in the folder of the machine


def place_of(site: str) -> Place:
    """The same for every checkout on this machine: the addresses of a site exist once."""
    # An interface's name has at most 15 characters, a site's has no such limit.
    link = f"nested-{hashlib.sha256(site.encode()).hexdigest()[:8]}"
    return Place(ROOT / site, f"mgmt-nested-{site}", link)


def serial_log_of(site: str) -> Path:
    """What the console of the site's nested VM has said since it was started last."""
    return LOGS / site / "serial.log"


def lock_of(site: str) -> Path:
    """Outside the folder: `down` removes that while it holds the lock."""
    return Path(f"/run/mgmt-nested-{site}.lock")
