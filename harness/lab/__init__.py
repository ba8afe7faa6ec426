"""The embedded lab: a router, a hypervisor and its guests in namespaces of this machine, with PVE's API simulated."""

from harness.lab.access import control, ssh_command
from harness.lab.lifecycle import build, down, up
from harness.lab.requirements import missing_packages, missing_requirements
from harness.lab.spec import HypervisorState, LabMachine, LabSpec, LabStatus, LabTemplate
from harness.lab.status import memory_mib, status

__all__ = [
    "HypervisorState",
    "LabMachine",
    "LabSpec",
    "LabStatus",
    "LabTemplate",
    "build",
    "control",
    "down",
    "memory_mib",
    "missing_packages",
    "missing_requirements",
    "ssh_command",
    "status",
    "up",
]
