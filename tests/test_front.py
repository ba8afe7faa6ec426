"""What a command prints is what it was given."""

from __future__ import annotations

import pytest

from harness.printing import console


def test_a_fingerprint_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("20:41:D5:CD:C7:FA:AB:D3", markup=False)
    assert capsys.readouterr().out == "20:41:D5:CD:C7:FA:AB:D3\n"
