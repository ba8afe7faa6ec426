"""Every drill there is, by name."""

from __future__ import annotations

from collections.abc import Mapping

from harness.drills import losing_tenant, rebooting, rebuilding, restoring, router_alone
from harness.drills.model import Drill

_ALL = (
    Drill(
        "reboot",
        "recovery.reboot",
        "restart the hypervisor; every VM is down meanwhile, and must come back by itself, in order",
        rebooting.run,
    ),
    Drill(
        "tenant-loss",
        "recovery.tenant-loss",
        "cut the tenant hypervisor off from this one for some seconds; every management service must go on answering",
        losing_tenant.run,
    ),
    Drill(
        "router-alone",
        "recovery.router-alone",
        "power every management VM off, ask the core router for DNS and DHCP, and start them again, in order",
        router_alone.run,
    ),
    Drill(
        "restore",
        "backup.restorable",
        "restore the newest backup of a VM beside it, without network, see that it boots, and remove the copy",
        restoring.run,
        restoring.mend,
        takes_guest=True,
    ),
    Drill(
        "rebuild",
        "recovery.rebuild",
        "back a VM up, destroy it, build it again as itself, and give it back what was on its disks",
        rebuilding.run,
        rebuilding.mend,
        takes_guest=True,
    ),
)
DRILLS: Mapping[str, Drill] = {drill.name: drill for drill in _ALL}
