"""Bind each drill to how it is run, and to how one that was cut off is mended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.contract import DrillName
from harness.drills import losing_tenant, rebooting, rebuilding, restoring, router_alone
from harness.drills.model import Drilling


@dataclass(frozen=True)
class Course:
    """`mend` undoes what `undo` of one that was cut off says; it looks first."""

    run: Callable[[Drilling], None]
    mend: Callable[[Drilling], None] | None = None  # not where the hypervisor itself undoes it


COURSES: Mapping[DrillName, Course] = {
    "reboot": Course(rebooting.run),
    "tenant-loss": Course(losing_tenant.run),
    "router-alone": Course(router_alone.run),
    "restore": Course(restoring.run, restoring.mend),
    "rebuild": Course(rebuilding.run, rebuilding.mend),
}
