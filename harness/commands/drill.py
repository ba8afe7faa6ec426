"""Run a drill after asking, and say how each one stands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.commands.front import front
from harness.contract import Contract
from harness.drills.catalogue import DRILLS
from harness.drills.record import Record
from harness.drills.run import Request, request, run_drill
from harness.drills.standing import Standing, standings
from harness.errors import Unsafe
from harness.printing import console
from harness.site import open_contract


@front
def list_drills(inventory: Path, site: str, *, as_json: bool) -> int:
    """Every drill, whether it is allowed here, and how it stands."""
    contract = open_contract(inventory, site)
    found = standings(contract)
    if as_json:
        print(json.dumps([_render(contract, one) for one in found], indent=2))
    else:
        _show(contract, found, console())
    return 0


@front
def drill(inventory: Path, site: str, name: str, *, guest: str | None, yes: bool, as_json: bool) -> int:
    """0 the drill was good, 1 it was not, 2 it was not run."""
    contract = open_contract(inventory, site)
    asked = request(contract, name, guest)
    out = console(to_stderr=as_json)
    if not yes and not _agreed(contract, asked, out):
        out.print("Nothing was changed.")
        return 2
    record = run_drill(contract, asked, report=lambda text: out.print(text, markup=False))
    if as_json:
        print(json.dumps(record.render(), indent=2))
    _show_record(record, out)
    return 0 if record.result == "good" else 1


def _agreed(contract: Contract, asked: Request, out: Console) -> bool:
    if not sys.stdin.isatty():
        raise Unsafe(
            tried=f"run the drill {asked.drill.name}",
            on=f"site {contract.site}",
            happened="it disturbs the site, and nobody is at a terminal to agree; nothing was changed",
            do=f"Say so: {contract.invoke(f'drill {asked.drill.name} --yes')}",
        )
    out.print(f"The drill {asked.drill.name} will {asked.drill.does}. All of it is undone afterwards.", markup=False)
    return out.input(f"Do this on {contract.hypervisor.fqdn}? [y/N] ").strip().lower() in {"y", "yes"}


def _show_record(record: Record, out: Console) -> None:
    for one in record.evidence:
        sign, style = {True: ("+", None), False: ("-", "bold red"), None: (" ", "dim")}[one.good]
        wanted = f" (expected {one.wanted})" if one.good is False else ""
        out.print(f"{sign} {one.what}: {one.seen}{wanted}", style=style, markup=False)
    for left in record.left:
        out.print(f"left: {left}", style="bold red", markup=False)
    style = "green" if record.result == "good" else "bold red"
    out.print(f"{record.drill}: {record.result} in {record.seconds:.1f} s: {record.message}", style=style, markup=False)


def _show(contract: Contract, found: tuple[Standing, ...], out: Console) -> None:
    styles = {"good": "green", "bad": "bold red", "never": "dim"}
    for one in found:
        allowed = "" if one.drill in contract.drills else " (not allowed here)"
        out.print(f"{one.drill}{allowed}: would {DRILLS[one.drill].does}", markup=False)
        next_step = "" if one.verdict == "good" else f". Next: {one.do}"
        out.print(f"    {one.said}{next_step}", style=styles[one.verdict], markup=False)


def _render(contract: Contract, one: Standing) -> dict[str, Any]:
    return {
        "drill": one.drill,
        "clause": one.clause,
        "allowed": one.drill in contract.drills,
        "verdict": one.verdict,
        "said": one.said,
        "last_good": one.last_good.isoformat() if one.last_good else None,
        "next": None if one.verdict == "good" else one.do,
    }
