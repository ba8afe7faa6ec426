"""Run the specs of a site in this process and end with the exit status of the verdict."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from harness.contract import Contract
from harness.report.model import Report, render_json
from harness.report.terminal import print_report
from harness.verify.live import Live
from harness.verify.stash import CONTRACT, REPORT

CHECKOUT = Path(__file__).resolve().parent.parent.parent
STDOUT = Path("-")
WRONG_REQUEST = 2


@dataclass(frozen=True)
class VerifyOptions:
    """What `verify` was asked; `json` may be - for standard output."""

    site: str = "lab"
    inventory: Path = CHECKOUT / "inventory"
    clauses: tuple[str, ...] = ()
    profile: str | None = None  # the site's own
    guest: str | None = None
    json: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    specs: Path = CHECKOUT / "specs"
    pytest_args: tuple[str, ...] = ()


class _Handover:
    """Gives the run a contract that is loaded already, and takes its report."""

    def __init__(self, contract: Contract | None) -> None:
        self._contract = contract
        self.report: Report | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if self._contract is not None:
            config.stash[CONTRACT] = self._contract

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.report = session.config.stash.get(REPORT, None)


def run_verify(options: VerifyOptions, *, contract: Contract | None = None, console: Console | None = None) -> int:
    """Assert the contract of a site; 0 it holds, 1 a promise is broken, 2 something could not be looked at."""
    report = take_report(options, contract=contract, console=console)
    if report is None:
        return WRONG_REQUEST
    if options.json == STDOUT:
        sys.stdout.write(json.dumps(render_json(report), indent=2, ensure_ascii=False) + "\n")
    return report.exit_status


def take_report(
    options: VerifyOptions, *, contract: Contract | None = None, console: Console | None = None
) -> Report | None:
    """As run_verify, for a caller that goes on with the result; None when the request was wrong (and that was said)."""
    # Standard output belongs to whoever asked for JSON there; people read standard error then.
    console = console or Console(stderr=options.json == STDOUT)
    handover = _Handover(contract)
    pytest.main(_arguments(options), plugins=[handover, Live(console)])
    if handover.report is not None:
        print_report(handover.report, console)
        if options.html is not None:
            console.print(f"Report: {options.html}", markup=False, highlight=False, soft_wrap=True)
    return handover.report


def _arguments(options: VerifyOptions) -> list[str]:
    files = {"--json": options.json if options.json != STDOUT else None, "--html": options.html}
    wanted = {**files, "--junitxml": options.junit, "--guest": options.guest, "--profile": options.profile}
    return [
        str(options.specs),
        *("-p", "harness.pytest_plugin", "-p", "no:cacheprovider", "--capture=no", "--import-mode=importlib"),
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
    parser.add_argument("--html", type=Path, metavar="FILE")
    parser.add_argument("--junit", type=Path, metavar="FILE")
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
        pytest_args=tuple(rest),
    )
    return run_verify(options)
