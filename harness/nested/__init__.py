"""The nested Proxmox VM: an answer file, a prepared medium, and QEMU."""

from __future__ import annotations

from harness.nested.building import build
from harness.nested.golden import Golden, Installed, find_golden, golden_key
from harness.nested.programs import missing_packages
from harness.nested.spec import NestedSpec, Progress

__all__ = [
    "Golden",
    "Installed",
    "NestedSpec",
    "Progress",
    "build",
    "find_golden",
    "golden_key",
    "missing_packages",
]
