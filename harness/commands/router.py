"""The core router's commands: what it should hold, how it differs, and bringing it there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import routers
from harness.commands.front import front
from harness.contract import Contract
from harness.core_router import compare_now, open_router
from harness.engine import proving, routing
from harness.engine.asking import open_service_looks
from harness.interrupts import as_interrupts
from harness.printing import console
from harness.routers import Changes, Comparison
from harness.routers.compare import said
from harness.site import open_contract


@front
def render(inventory: Path, site: str) -> int:
    """What the router should be given, to review or to carry there by hand."""
    for what, text in routers.render(open_contract(inventory, site)).items():
        sys.stdout.write(f"# --- {what}\n{text}")
    return 0


@front
def check(inventory: Path, site: str, *, as_json: bool) -> int:
    """0 the router holds what is declared, 1 it differs, 2 it could not be looked at."""
    contract = open_contract(inventory, site)
    with open_router(contract) as router:
        found = compare_now(contract, router)
    unfinished = routing.unfinished_of(contract).read()
    if as_json:
        print(json.dumps(render_comparison(found), indent=2))
    else:
        show_comparison(contract, found, console())
        _show_unfinished(contract, unfinished, console())
    return 1 if found.differences or unfinished else 0


@front
def apply(inventory: Path, site: str, *, yes: bool, offers: bool) -> int:
    """Write what is the inventory's, prove it, or put everything back; 0 when the router is as declared."""
    contract = open_contract(inventory, site)
    out = console()

    def agree(found: Comparison) -> bool:
        show_changes(found.changes, out)
        if yes or not sys.stdin.isatty():
            return True
        return out.input(f"Do this on {contract.router.name}? [y/N] ").strip().lower() in {"y", "yes"}

    def report(text: str) -> None:
        # Whoever read it may be gone, a lost terminal say; rich leaves the program then. The router is put back first.
        with suppress(OSError, SystemExit):
            out.print(text, style="yellow", markup=False)

    with open_router(contract) as router, open_service_looks(contract, offers=offers) as looks, as_interrupts():
        done = routing.apply(
            contract,
            router,
            prove=partial(proving.prover, contract, looks),
            report=report,
            agree=agree,
        )
    show_applied(contract, done, out)
    return 0


def show_comparison(contract: Contract, found: Comparison, out: Console) -> None:
    for difference in found.differences:
        out.print(f"{difference.kind}: {difference}", style="bold red" if difference.stops else None, markup=False)
    counts = f"{len(contract.reservations)} reservations and {len(contract.records)} records are declared"
    wrong = len(found.differences)
    verdict = f"{wrong} difference{'' if wrong == 1 else 's'}" if wrong else "no difference"
    out.print(f"{contract.router.name}: {verdict}; {counts}", markup=False)


def show_changes(changes: Changes, out: Console) -> None:
    for line in _changes(changes):
        out.print(line, markup=False)


def show_applied(contract: Contract, done: routing.Applied, out: Console) -> None:
    others = [
        one for one in done.comparison.differences if one.about == "lease" or one.do != contract.invoke(routers.APPLY)
    ]
    for difference in others:
        out.print(f"{difference.kind}, left alone: {difference}", style="yellow", markup=False)
    if done.written:
        count = len(list(_changes(done.comparison.changes)))
        text = f"{count} change{'' if count == 1 else 's'} on {contract.router.name}, served: {done.proof}"
    else:
        text = f"Nothing was changed on {contract.router.name}"
    out.print(f"{text} ({done.seconds:.1f} s)", markup=False)


def render_comparison(found: Comparison) -> dict[str, Any]:
    """The same as JSON's own types."""
    differences = [
        {**asdict(one), "declared": str(one.declared) if one.declared else None} for one in found.differences
    ]
    return {"same": not found.differences, "differences": differences, "changes": list(_changes(found.changes))}


def _changes(changes: Changes) -> Iterator[str]:
    yield from (f"- reservation {said(one)}" for one in changes.remove_reservations)
    yield from (f"+ reservation {said(one)}" for one in changes.add_reservations)
    yield from (f"- {one.type} {one.name} -> {one.target}" for one in changes.remove_records)
    yield from (f"+ {one.type} {one.name} -> {one.target}" for one in changes.add_records)


def _show_unfinished(contract: Contract, unfinished: tuple[float, Any] | None, out: Console) -> None:
    if unfinished:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unfinished[0]))
        out.print(
            f"An apply of {when} was cut off and is not proven. Next: {contract.invoke('router.apply')}",
            style="bold red",
            markup=False,
        )
