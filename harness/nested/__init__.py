"""The nested Proxmox VM: an answer file, a prepared medium, and QEMU."""

from __future__ import annotations

from harness.nested.building import build
from harness.nested.golden import Golden, Installed, find_golden, golden_key
from harness.nested.image import ImageSpec, build_image, missing_image_packages
from harness.nested.programs import missing_packages
from harness.nested.spec import NestedSpec, Progress

__all__ = [
    "Golden",
    "ImageSpec",
    "Installed",
    "NestedSpec",
    "Progress",
    "build",
    "build_image",
    "find_golden",
    "golden_key",
    "missing_image_packages",
    "missing_packages",
]
