"""Find out whether virtual machines run at full speed here, and how much longer everything takes where they do not."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CPUINFO = Path("/proc/cpuinfo")
KVM = Path("/dev/kvm")

# An installation is reported to take up to 25 minutes without KVM, and four or five with it.
EMULATED_PATIENCE = 6.0


@dataclass(frozen=True)
class Accelerator:
    """`why_not` is why it is not KVM; every limit in seconds is multiplied by `patience`."""

    name: Literal["kvm", "tcg"]
    why_not: str | None
    patience: float

    @property
    def warning(self) -> str | None:
        """What to tell whoever waits."""
        if self.why_not is None:
            return None
        return f"No KVM here ({self.why_not}): the processor is emulated, and all of it takes several times as long"


def choose(cpuinfo: Path = CPUINFO, kvm: Path = KVM) -> Accelerator:
    """KVM where the processor has it and its device opens for us."""
    why_not = _why_not(cpuinfo, kvm)
    return Accelerator("kvm", None, 1.0) if why_not is None else Accelerator("tcg", why_not, EMULATED_PATIENCE)


def _why_not(cpuinfo: Path, kvm: Path) -> str | None:
    if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", cpuinfo.read_text(), re.MULTILINE):
        return "the processor has no vmx or svm flag"
    try:
        os.close(os.open(kvm, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{kvm}: {error.strerror}"
    return None
