"""Faults of what each VM is for, of its coming back by itself, and of the drills that prove recovery."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from harness.drills.catalogue import DRILLS
from tests.faults.fault import Fault
from tests.faults.ways import called, configured, declared, drilled, guest_agreed, written

GUEST, VMID = "metrics-vm01", 130
TENANTS = ("separation.no-tenants",)
LONG_AGO = datetime.now(UTC) - timedelta(days=400)


SEPARATION = (
    Fault(
        "a VM declared for tenants",
        ("separation.category",),
        f"category of {GUEST}: expected access, automation, observability, seen tenant",
        guest_agreed(GUEST, category="tenant"),
    ),
    Fault(
        "a VM of two categories",
        ("separation.category",),
        f"category tags of {GUEST}: expected observability, seen automation, observability",
        configured(VMID, tags="mgmt-harness;observability;automation"),
    ),
    Fault(
        "a responsibility that nobody carries",
        ("separation.coverage",),
        "who carries alerting: expected a VM or a plan, seen none",
        declared(("group_vars/all/mgmt.yml", " alerting: in the whole lab,", "")),
    ),
    Fault(
        "a VM marked as a tenant's",
        TENANTS,
        f"marked as a tenant's: expected none, seen VM {VMID} {GUEST}",
        configured(VMID, tags="mgmt-harness;observability;tenant"),
    ),
    Fault(
        "a pool of a tenant",
        TENANTS,
        "marked as a tenant's: expected none, seen pool tenant-a",
        called("POST", "/pools", poolid="tenant-a"),
    ),
    Fault(
        "a storage on the tenant hypervisor",
        TENANTS,
        "storages on the tenant hypervisor: expected none, seen tenants at 198.18.99.22",
        called(
            "POST",
            "/storage",
            storage="tenants",
            type="nfs",
            server="198.18.99.22",
            export="/vm",
            content="images",
            disable="1",
        ),
    ),
    Fault(
        "a guest that knows the tenant hypervisor",
        TENANTS,
        f"routes, resolvers, mounts and names of the tenant hypervisor inside {GUEST}: expected none, seen "
        "hosts-and-fstab: 198.18.99.22:/images",
        written(GUEST, "/etc/fstab", "198.18.99.22:/images /images nfs defaults 0 0\n"),
    ),
)
RECOVERY = (
    Fault(
        "a VM that does not start by itself",
        ("recovery.autostart",),
        f"start of {GUEST} with the hypervisor: expected yes, seen no",
        configured(VMID, onboot="0"),
    ),
    Fault(
        "a VM that starts out of its order",
        ("recovery.autostart",),
        f"start order and delay of {GUEST}: expected 20, 1, seen 5, 1",
        configured(VMID, startup="order=5,up=1"),
    ),
    Fault(
        "a VM that anybody may delete",
        ("recovery.protected",),
        f"protection of {GUEST}: expected yes, seen no",
        configured(VMID, protection="0"),
    ),
)


def drill_fault(name: str, what: str, says: str, **changes: Any) -> Fault:
    return Fault(f"the drill {name} {what}", (DRILLS[name].clause,), says, drilled(name, **changes))


DRILLED = (
    drill_fault("reboot", "long ago", "drill reboot: expected a good one in the last", last_good=LONG_AGO),
    drill_fault(
        "tenant-loss", "failed", "failed: dashboards-vm01 is gone", result="bad", message="dashboards-vm01 is gone"
    ),
    drill_fault("router-alone", "cut off", "was cut off, and what it changed may not be put back", result="unfinished"),
    drill_fault("restore", "failed", "failed: it does not boot", result="bad", message="it does not boot"),
    drill_fault("rebuild", "long ago", "drill rebuild: expected a good one in the last", last_good=LONG_AGO),
)
FAULTS = (*SEPARATION, *RECOVERY, *DRILLED)
