"""Assert the contract, keep the report, and say where it is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness.commands.front import console, front
from harness.contract import Contract
from harness.errors import Missing
from harness.site import open_contract, state_folder
from harness.verify import VerifyOptions, run_verify

HTML = "report.html"


@front
def verify(options: VerifyOptions) -> int:
    """0 every promise holds or is waived, 1 one is broken, 2 something could not be looked at."""
    contract = open_contract(options.inventory, options.site)
    return keep_report(options, contract, console(to_stderr=options.json == Path("-")))


def keep_report(options: VerifyOptions, contract: Contract, out: Console) -> int:
    """Verify, and keep what a whole run found where `report` looks for it; a selection keeps the last whole report."""
    if not (options.clauses or options.profile or options.guest or options.pytest_args):
        folder = contract.state_dir / "reports"
        folder.mkdir(parents=True, exist_ok=True)
        options = replace(options, html=options.html or folder / HTML, junit=options.junit or folder / "junit.xml")
    return run_verify(options, contract=contract, console=out)


@front
def report(site: str, target: Path | None) -> int:
    """Say where the last report of a site is, or copy it."""
    last = state_folder(site) / "reports" / HTML
    if not last.exists():
        raise Missing(
            tried="show the last report", on=f"site {site}", happened=f"{last} is not there", do="Run ./invoke verify"
        )
    if target is not None:
        shutil.copyfile(last, target)
    console().print(str(target or last), markup=False)
    return 0
