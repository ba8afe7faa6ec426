"""Run a small folder of specs as verify runs its own."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Contract
from harness.printing import Lines
from harness.verify import VerifyOptions
from harness.verify.run import take_report
from tests.verify.small_specs import CLAUSES, CONTRACT, HEAD, NUMBERS, PROFILES, Ended, Run, clauses_of


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    folder = tmp_path / "specs"
    folder.mkdir()

    def start(text: str, *arguments: str, contract: Contract = CONTRACT, every: bool = False, **options: Any) -> Ended:
        # pytest keeps imported specs by name for the life of the process, and these runs share one.
        (folder / f"test_small_{next(NUMBERS)}.py").write_text(HEAD + textwrap.dedent(text))
        (folder / "clauses.yml").write_text(CLAUSES + PROFILES if every else clauses_of(text))
        out = io.StringIO()
        options = {"inventory": tmp_path, "specs": folder, **options}
        asked = VerifyOptions(pytest_args=("-p", "no:randomly", *arguments), **options)
        report = take_report(asked, contract=contract, out=Lines(out))
        return Ended(report, out.getvalue(), capfd.readouterr().err)

    return start
