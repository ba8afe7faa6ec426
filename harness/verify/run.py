"""Run the specs of a site in this process and end with the exit status of the verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from harness.contract import Contract
from harness.printing import Out, lines
from harness.report.history import look
from harness.report.html import prepare
from harness.report.model import Report
from harness.report.outputs import KINDS, render_json_text
from harness.report.terminal import print_report
from harness.verify.live import live
from harness.verify.options import CHECKOUT, VerifyOptions
from harness.verify.planned import begin
from harness.verify.stash import CONTRACT, REPORT, TRIPS
from harness.verify.trips import Trips

STDOUT = Path("-")
WRONG_REQUEST = 2
# What pytest would do around each of hundreds of checks, and at the end, that nobody here sees.
UNUSED = ("cacheprovider", "logging", "warnings", "unraisableexception", "threadexception")


class _Handover:
    """Gives the run a contract that is loaded already, with what has begun, and takes its report."""

    def __init__(self, contract: Contract | None, trips: Trips | None) -> None:
        self._contract = contract
        self._trips = trips
        self.report: Report | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if self._contract is not None:
            config.stash[CONTRACT] = self._contract
        if self._trips is not None:
            config.stash[TRIPS] = self._trips

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.report = session.config.stash.get(REPORT, None)


def run_verify(
    options: VerifyOptions,
    *,
    contract: Contract | None = None,
    out: Out | None = None,
    keep: Callable[[Report], object] = lambda _: None,
    begun: Trips | None = None,
) -> int:
    """Assert the contract of a site; 0 it holds, 1 a promise is broken, 2 something could not be looked at."""
    report = take_report(options, contract=contract, out=out, begun=begun)
    if report is None:
        return WRONG_REQUEST
    keep(report)
    if options.json == STDOUT:
        sys.stdout.write(render_json_text(report))
    return report.exit_status


def take_report(
    options: VerifyOptions,
    *,
    contract: Contract | None = None,
    out: Out | None = None,
    begun: Trips | None = None,
) -> Report | None:
    """As run_verify, for a caller that goes on with the result; None when the request was wrong (and that was said)."""
    # Standard output belongs to whoever asked for JSON there; people read standard error then.
    out = out or lines(to_stderr=options.json == STDOUT)
    trips = begun or (begin(contract, options) if contract else None)
    if trips is not None:
        trips.start()
        # Until they have answered there is time for what the report will need.
        trips.looks.ahead([prepare, partial(look, trips.state_dir)] if options.html else [])
    handover = _Handover(contract, trips)
    try:
        pytest.main(_arguments(options), plugins=[handover, live(out)])
    finally:
        if trips is not None:
            trips.close()
    if handover.report is not None:
        print_report(handover.report, out)
        if options.html is not None:
            out.print(f"Report: {options.html}", markup=False)
    return handover.report


def _arguments(options: VerifyOptions) -> list[str]:
    files: dict[str, Path | None] = {f"--{kind}": getattr(options, kind) for kind in KINDS}
    files["--json"] = options.json if options.json != STDOUT else None
    wanted = {**files, "--guest": options.guest, "--profile": options.profile}
    return [
        str(options.specs),
        *("-p", "harness.pytest_plugin", "--capture=no", "--import-mode=importlib"),
        "--disable-plugin-autoload",  # what else is installed here has no part in a verdict
        *(word for plugin in UNUSED for word in ("-p", f"no:{plugin}")),
        "--tb=line",  # a sentence says more than a stack here, and pytest needs 50 ms for each stack
        f"--site={options.site}",
        f"--inventory={options.inventory}",
        *(f"--clause={clause}" for clause in options.clauses),
        *(f"{option}={value}" for option, value in wanted.items() if value is not None),
        *options.pytest_args,
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of `verify`; what it does not know goes to pytest."""
    parser = argparse.ArgumentParser(prog="verify", description=main.__doc__, allow_abbrev=False)
    parser.add_argument("--site", default="lab")
    parser.add_argument("--inventory", type=Path, default=CHECKOUT / "inventory")
    parser.add_argument("--clause", action="append", default=[], metavar="ID")
    parser.add_argument("--profile", metavar="NAME")
    parser.add_argument("--guest")
    parser.add_argument("--json", type=Path, metavar="FILE", help="- for standard output")
    for kind in ("html", "junit", "tap", "prom"):
        parser.add_argument(f"--{kind}", type=Path, metavar="FILE")
    asked, rest = parser.parse_known_args(argv)
    options = VerifyOptions(
        site=asked.site,
        inventory=asked.inventory,
        clauses=tuple(asked.clause),
        profile=asked.profile,
        guest=asked.guest,
        json=asked.json,
        html=asked.html,
        junit=asked.junit,
        tap=asked.tap,
        prom=asked.prom,
        pytest_args=tuple(rest),
    )
    return run_verify(options)
