"""Show a plan, and carry it out with live progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands.front import front
from harness.contract import Contract
from harness.head_start import HeadStart, begin
from harness.opening import open_contract
from harness.printing import Out, lines

if TYPE_CHECKING:
    from harness.engine.events import Provisioned
    from harness.plan import Plan


@front
def plan(inventory: Path, site: str, guest: str | None, *, as_json: bool) -> int:
    """Say what `provision` would do; 2 when it would refuse."""
    from harness import provisioning

    contract = open_contract(inventory, site)
    found = provisioning.make_plan(contract, _only(guest))
    due = provisioning.due_backups(contract, _only(guest))
    if as_json:
        print(json.dumps({**render_plan(contract, found), "first_backups": list(due)}, indent=2))
    else:
        show_plan(found, lines(), due)
    return 2 if found.refusals else 0


@front
def provision(inventory: Path, site: str, guest: str | None, *, yes: bool, as_json: bool, backups: bool = True) -> int:
    """Make what is missing; 0 when every guest is there, and has a backup unless `backups` is off."""
    contract = open_contract(inventory, site)
    out = lines(to_stderr=as_json)
    asks = sys.stdin.isatty() and not yes
    if asks and not _agreed(contract, guest, out, backups=backups):
        out.print("Nothing was changed.")
        return 0
    with begin(contract, _only(guest)) as start:
        done = build(contract, guest, out, backups=backups, start=start)
    if as_json:
        print(json.dumps(render_provisioned(contract, done), indent=2))
    return 2 if done.failed else 0


def build(
    contract: Contract, guest: str | None, out: Out, *, backups: bool = True, start: HeadStart | None = None
) -> Provisioned:
    """Provision with live progress and a summary at the end."""
    # The engine is loaded while what has been begun already waits for the hypervisor and the router.
    from harness import provisioning
    from harness.commands.progress import GuestProgress

    with GuestProgress(out) as progress:
        done = provisioning.carry_out(contract, progress.report, _only(guest), backups=backups, start=start)
    show_provisioned(done, out)
    return done


def show_plan(found: Plan, out: Out, due: Sequence[str] = ()) -> None:
    for change in found.changes:
        out.print(f"{change.kind} {change.guest} (VM {change.vmid}): {change.detail}", markup=False)
        if change.clone is not None:
            out.print(f"    {change.clone}", markup=False)
    if due:
        out.print(f"first backup: {', '.join(due)}", markup=False)
    _show_notes(found, out)
    for refusal in found.refusals:
        out.print(f"refused: {refusal.reason}. {refusal.do}.", style="bold red", markup=False)
    out.print(_changes(len(found.changes)) + (", nothing will be done" if found.refusals else ""), markup=False)


def show_provisioned(done: Provisioned, out: Out) -> None:
    for result in done.results:
        steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in result.seconds.items())
        out.print(f"{result.guest}: {result.outcome} in {sum(result.seconds.values()):.1f} s ({steps})", markup=False)
        for note in (*result.warnings, *result.retries):
            out.print(f"    {note}", markup=False)
    for sentence, guests in _failures(done).items():
        out.print(f"{', '.join(guests)}: {sentence}", style="bold red", markup=False)
    for retry in done.retries:
        out.print(f"    asked again: {retry}", style="dim", markup=False)
    _show_notes(done.plan, out)
    failed = f", {len(done.failed)} failed" if done.failed else ""
    changed = _changes(len(done.results) - len(done.failed))
    out.print(f"{changed}{failed}, {done.writes} write calls, {done.seconds:.1f} s", markup=False)


def render_plan(contract: Contract, found: Plan) -> dict[str, Any]:
    """The plan as JSON's own types."""
    return {
        "site": contract.site,
        "changes": [
            {
                "guest": change.guest,
                "vmid": change.vmid,
                "kind": change.kind,
                "detail": change.detail,
                "clone": str(change.clone) if change.clone else None,
            }
            for change in found.changes
        ],
        "differences": [str(difference) for difference in found.differences],
        "refusals": [refusal.reason for refusal in found.refusals],
        "warnings": list(found.warnings),
    }


def render_provisioned(contract: Contract, done: Provisioned) -> dict[str, Any]:
    """The run as JSON's own types; seconds by step."""
    return {
        "plan": render_plan(contract, done.plan),
        "writes": done.writes,
        "seconds": round(done.seconds, 3),
        "retries": list(done.retries),
        "guests": [
            {
                "guest": result.guest,
                "vmid": result.vmid,
                "outcome": result.outcome,
                "identity_by": result.identity_by,
                "seconds": result.seconds,
                "upids": result.upids,
                "warnings": result.warnings,
                "retries": result.retries,
                "error": str(result.error) if result.error else None,
            }
            for result in done.results
        ],
    }


def _failures(done: Provisioned) -> dict[str, list[str]]:
    """Each failure's sentence with the guests it befell: a dead API befalls them all."""
    found: dict[str, list[str]] = {}
    for result in done.failed:
        found.setdefault(str(result.error or "stopped before its turn"), []).append(result.guest)
    return found


def _agreed(contract: Contract, guest: str | None, out: Out, *, backups: bool) -> bool:
    """Ask the person at the terminal; nothing to do needs no answer, and a refusal is said by the run itself."""
    from harness import provisioning

    found = provisioning.make_plan(contract, _only(guest))
    due = provisioning.due_backups(contract, _only(guest)) if backups else ()
    if (found.empty and not due) or found.refusals:
        return True
    show_plan(found, out, due)
    return out.input(f"Do this on {contract.hypervisor.fqdn}? [y/N] ").strip().lower() in {"y", "yes"}


def _show_notes(found: Plan, out: Out) -> None:
    for warning in found.warnings:
        out.print(f"note: {warning}", style="yellow", markup=False)
    for difference in found.differences:
        out.print(f"differs, left alone: {difference}", style="yellow", markup=False)


def _only(guest: str | None) -> frozenset[str] | None:
    return frozenset({guest}) if guest else None


def _changes(number: int) -> str:
    return f"{number} change{'' if number == 1 else 's'}"
