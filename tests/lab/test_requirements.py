"""What is missing is said in one sentence with the one command that brings it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness import lab


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, or the first thing missing is root")
def test_missing_programs_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    [lack] = [lack for lack in lab.missing_requirements() if lack.what.startswith("not installed")]
    assert "mmdebstrap" in lack.what
    assert lack.do.startswith("apt-get install -y --no-install-recommends ")
    assert "mmdebstrap" in lack.do.split()
