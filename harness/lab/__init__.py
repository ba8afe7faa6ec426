"""The embedded lab: a router, a hypervisor and its guests in namespaces of this machine, with PVE's API simulated."""

from harness.lab.access import control, ssh_command, take_work
from harness.lab.cgroups import group_named, processes
from harness.lab.commands import run as run_program
from harness.lab.lifecycle import build, down, up
from harness.lab.lock import one_at_a_time
from harness.lab.machines import at_the_machine, at_the_switch, launch, running, wait_started
from harness.lab.paths import Place
from harness.lab.requirements import missing_packages, missing_requirements, require, require_root
from harness.lab.rootfs import debian_sources
from harness.lab.router.seed import Seed, SeedRecord, SeedReservation, SeedSubnet
from harness.lab.segment import end_segment, start_segment
from harness.lab.spec import (
    DELAY_S,
    ROUTER_NIC,
    WORK,
    HypervisorState,
    LabMachine,
    LabSpec,
    LabStatus,
    LabTemplate,
    Latency,
    Work,
)
from harness.lab.status import memory_mib, status

__all__ = [
    "DELAY_S",
    "ROUTER_NIC",
    "WORK",
    "HypervisorState",
    "LabMachine",
    "LabSpec",
    "LabStatus",
    "LabTemplate",
    "Latency",
    "Place",
    "Seed",
    "SeedRecord",
    "SeedReservation",
    "SeedSubnet",
    "Work",
    "at_the_machine",
    "at_the_switch",
    "build",
    "control",
    "debian_sources",
    "down",
    "end_segment",
    "group_named",
    "launch",
    "memory_mib",
    "missing_packages",
    "missing_requirements",
    "one_at_a_time",
    "processes",
    "require",
    "require_root",
    "run_program",
    "running",
    "ssh_command",
    "start_segment",
    "status",
    "take_work",
    "up",
    "wait_started",
]
