"""Assert the contract, and keep what a whole run found."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from harness.commands.front import console, front
from harness.commands.report import HTML
from harness.contract import Contract
from harness.report import history
from harness.site import open_contract
from harness.verify import VerifyOptions, run_verify


@front
def verify(options: VerifyOptions) -> int:
    """0 every promise holds or is waived, 1 one is broken, 2 something could not be looked at."""
    contract = open_contract(options.inventory, options.site)
    return keep_report(options, contract, console(to_stderr=options.json == Path("-")))


def keep_report(options: VerifyOptions, contract: Contract, out: Console) -> int:
    """Verify, and keep what a whole run found where `report` looks for it; a selection keeps the last whole report."""
    if options.clauses or options.profile or options.guest or options.pytest_args:
        return run_verify(options, contract=contract, console=out)
    folder = contract.state_dir / "reports"
    options = replace(options, html=options.html or folder / HTML, junit=options.junit or folder / "junit.xml")
    return run_verify(options, contract=contract, console=out, keep=partial(history.keep, contract.state_dir))
