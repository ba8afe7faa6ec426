"""The embedded lab: a router, a hypervisor and its guests in namespaces of this machine, with PVE's API simulated."""

from harness.lab.access import control, ssh_command
from harness.lab.kinds import router_variables, running_router
from harness.lab.lifecycle import build, down, up
from harness.lab.requirements import missing_packages, missing_requirements
from harness.lab.router.seed import Seed, SeedRecord, SeedReservation, SeedSubnet
from harness.lab.spec import ROUTER_NIC, HypervisorState, LabMachine, LabSpec, LabStatus, LabTemplate, RouterKind
from harness.lab.status import memory_mib, status

__all__ = [
    "ROUTER_NIC",
    "HypervisorState",
    "LabMachine",
    "LabSpec",
    "LabStatus",
    "LabTemplate",
    "RouterKind",
    "Seed",
    "SeedRecord",
    "SeedReservation",
    "SeedSubnet",
    "build",
    "control",
    "down",
    "memory_mib",
    "missing_packages",
    "missing_requirements",
    "router_variables",
    "running_router",
    "ssh_command",
    "status",
    "up",
]
