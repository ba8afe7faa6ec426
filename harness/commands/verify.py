"""Assert the contract, and keep what a whole run found."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.commands.front import front
from harness.contract import Contract
from harness.opening import open_contract
from harness.printing import Out, lines
from harness.verify.options import VerifyOptions
from harness.verify.planned import begin
from harness.verify.trips import Trips


@front
def verify(options: VerifyOptions) -> int:
    """0 every promise holds or is waived, 1 one is broken, 2 something could not be looked at."""
    contract = open_contract(options.inventory, options.site)
    begun = begin(contract, options)
    return keep_report(options, contract, lines(to_stderr=options.json == Path("-")), begun)


def keep_report(options: VerifyOptions, contract: Contract, out: Out, begun: Trips | None = None) -> int:
    """Verify, and keep what a whole run found where `report` looks for it; a selection keeps the last whole report."""
    # Loaded while the hosts answer: pytest and all that comes with it take as long as they do.
    from harness.report import history  # noqa: PLC0415
    from harness.verify.run import run_verify  # noqa: PLC0415

    if options.clauses or options.profile or options.guest or options.pytest_args:
        return run_verify(options, contract=contract, out=out)
    folder = contract.state_dir / "reports"
    options = replace(options, html=options.html or folder / history.HTML, junit=options.junit or folder / "junit.xml")
    return run_verify(options, contract=contract, out=out, keep=partial(history.keep, contract.state_dir), begun=begun)
