"""Who has KVM and keeps it from its guests is told so: PVE would refuse to start VMs inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.instance.nesting import nesting_warning
from harness.nested.accelerator import Accelerator

KVM, EMULATED = Accelerator("kvm", None, 1.0), Accelerator("tcg", "no flag", 6.0)


@pytest.mark.parametrize(
    ("module", "said", "warned"),
    [("kvm_intel", "Y", False), ("kvm_intel", "N", True), ("kvm_amd", "1", False), ("kvm_amd", "0", True)],
)
def test_only_where_nesting_is_off(tmp_path: Path, module: str, said: str, warned: bool) -> None:
    file = tmp_path / module / "parameters/nested"
    file.parent.mkdir(parents=True)
    file.write_text(f"{said}\n")
    warning = nesting_warning(KVM, tmp_path)
    assert (warning is not None) == warned
    assert not warned or f"modprobe {module} nested=1" in str(warning)
    assert nesting_warning(EMULATED, tmp_path) is None


def test_a_kernel_that_does_not_say_is_not_accused(tmp_path: Path) -> None:
    assert nesting_warning(KVM, tmp_path) is None
