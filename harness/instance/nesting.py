"""See whether VMs inside the nested hypervisor get KVM from this machine's kernel."""

from __future__ import annotations

from pathlib import Path

from harness.nested.accelerator import Accelerator

MODULES = Path("/sys/module")
ON = {"Y", "1"}


def nesting_warning(accelerator: Accelerator, modules: Path = MODULES) -> str | None:
    """What to tell when the kernel keeps vmx and svm from its guests; emulated processors have them anyway."""
    if accelerator.name != "kvm":
        return None
    for name in ("kvm_intel", "kvm_amd"):
        file = modules / name / "parameters/nested"
        if file.exists() and file.read_text().strip() not in ON:
            return (
                f"nested virtualisation is off here ({file}): PVE will refuse to start VMs;"
                f" turn it on: modprobe -r {name} && modprobe {name} nested=1"
            )
    return None
