"""Every drill there is, by name: which promise it shows, and what it does to a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.contract import DrillName


@dataclass(frozen=True)
class Drill:
    """One way to prove recovery; how it is run is harness.drills.courses'."""

    name: DrillName
    clause: str
    does: str  # said before it is asked for agreement
    takes_guest: bool = False


_ALL = (
    Drill(
        "reboot",
        "recovery.reboot",
        "restart the hypervisor; every VM is down meanwhile, and must come back by itself, in order",
    ),
    Drill(
        "tenant-loss",
        "recovery.tenant-loss",
        "cut the tenant hypervisor off from this one for some seconds; every management service must go on answering",
    ),
    Drill(
        "router-alone",
        "recovery.router-alone",
        "power every management VM off, ask the core router for DNS and DHCP, and start them again, in order",
    ),
    Drill(
        "restore",
        "backup.restorable",
        "restore the newest backup of a VM beside it, without network, see that it boots, and remove the copy",
        takes_guest=True,
    ),
    Drill(
        "rebuild",
        "recovery.rebuild",
        "back a VM up, destroy it, build it again as itself, and give it back what was on its disks",
        takes_guest=True,
    ),
)
DRILLS: Mapping[str, Drill] = {drill.name: drill for drill in _ALL}
