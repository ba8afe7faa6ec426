"""Accept the whole path on a site that is made for it: everything from nothing to the report, then down again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

from rich.console import Console

from harness import acceptance as accepting
from harness import instance, lab
from harness.acceptance import Done, Ground
from harness.commands.front import INTERRUPTED, front
from harness.commands.nested import cache_folder
from harness.commands.setup import install_missing
from harness.contract import Contract
from harness.embedded import is_of_lab
from harness.errors import Invalid, Missing, Unsafe
from harness.interrupts import as_interrupts, uninterrupted
from harness.lab.paths import LAB
from harness.nested.accelerator import choose
from harness.printing import console
from harness.site import open_contract, state_folder

# What to do without KVM: go on slowly, skip the run and say so, or call it a failure.
Kvm = Literal["any", "skip", "required"]


@front
def acceptance(inventory: Path, site: str, *, folder: Path | None, kvm: str, keep: bool) -> int:
    """0 accepted, 1 a promise is broken, 2 something could not be done; the artefacts are kept in any case."""
    out = console()
    contract = open_contract(inventory, site)
    ground = _ground(contract)
    if ground == "nested" and not _may_run(kvm, out):
        return 0
    lab.require_root(tried="run the acceptance")
    install_missing(out)
    _require_nothing_up(contract, ground)
    kept = accepting.take_folder(folder or state_folder(site) / "acceptance", site)
    done: list[Done] = []
    notes: list[str] = []

    def tell(line: str) -> None:
        out.print(line, markup=False)

    status = None
    with as_interrupts():
        try:
            accepting.run_stages(accepting.stages_of(contract, ground, inventory, kept), kept, done, tell)
        except KeyboardInterrupt:
            status = INTERRUPTED
        finally:
            try:
                notes += _keep(contract, ground, kept, done, tell)
            except KeyboardInterrupt:
                status = INTERRUPTED
                notes.append("not all journals, consoles and task logs are kept: the run was told to end")
            with uninterrupted():  # whoever has no patience left must not be left with a site that is up
                if keep:
                    notes.append("the site is left up, as was asked for")
                else:
                    accepting.run_stage(accepting.down_of(contract, ground), kept, done, tell)
                accepting.write_summary(kept, site, done, notes)
    _show(done, notes, kept, out)
    return status if status is not None else accepting.exit_status(done)


def _ground(contract: Contract) -> Ground:
    """Only what is made for the run may be made and thrown away."""
    if contract.nested is not None:
        return "nested"
    if is_of_lab(contract.hypervisor.ssh.identity_file):
        return "lab"
    raise Unsafe(
        tried="run the acceptance",
        on=f"site {contract.site}",
        happened="it would make the site and throw it away, and this one is neither the lab nor a nested VM;"
        " nothing was changed",
        do=f"Use --site nested or --site lab; for a real site run {contract.invoke('verify')}",
    )


def _may_run(kvm: str, out: Console) -> bool:
    if kvm not in get_args(Kvm):
        raise Invalid(
            tried="run the acceptance",
            on=f"--kvm {kvm}",
            happened="there is no such choice",
            do=f"Say one of {', '.join(get_args(Kvm))}",
        )
    accelerator = choose()
    if accelerator.why_not is None or kvm == "any":
        return True
    if kvm == "required":
        raise Missing(
            tried="run the nested acceptance",
            on="this machine",
            happened=f"KVM is required and cannot be used: {accelerator.why_not}",
            do="Turn nested virtualisation on and pass /dev/kvm in (docs/nested.md), or say --kvm any and wait longer",
        )
    said = f"the nested acceptance was NOT run: no KVM here ({accelerator.why_not})"
    out.print(f"SKIPPED: {said}", style="bold yellow", markup=False)
    if os.environ.get("GITHUB_ACTIONS"):
        print(f"::warning title=Nested acceptance skipped::{said}")
    return False


def _require_nothing_up(contract: Contract, ground: Ground) -> None:
    """The run starts from nothing and ends with nothing: what somebody else has up is not ours to end."""
    found = lab.status().up if ground == "lab" else instance.status(contract.site).up
    if found:
        do = f"Take it down first: {accepting.down_of(contract, ground).typed}"
        happened = "it is up already, and the run would take it down at its end; nothing was changed"
        raise Unsafe(tried="run the acceptance", on=f"site {contract.site}", happened=happened, do=do)


def _keep(contract: Contract, ground: Ground, folder: Path, done: list[Done], say: Callable[[str], None]) -> list[str]:
    """What the site can tell before it goes; what cannot be had is said, and keeps nobody from going down."""
    if not any(one.stage.name == "up" and one.verdict != "skipped" for one in done):
        accepting.keep_consoles(_consoles(contract, ground), folder / "consoles")
        return []
    say("--- keeping journals, consoles and task logs")
    accepting.keep_consoles(_consoles(contract, ground), folder / "consoles")
    notes = list(accepting.keep_journals(contract, folder / "journals"))
    if any(one.stage.name == "bootstrap" and one.verdict != "skipped" for one in done):
        notes += accepting.keep_tasks(contract, folder / "tasks")
    return notes


def _consoles(contract: Contract, ground: Ground) -> Iterator[Path]:
    place = LAB if ground == "lab" else instance.place_of(contract.site)
    yield from sorted(place.machines.glob("*/console.log"))
    if ground == "nested":
        yield instance.serial_log_of(contract.site)
        yield from sorted(cache_folder().glob(f"*/{contract.site}-*/serial.log"))


def _show(done: list[Done], notes: list[str], folder: Path, out: Console) -> None:
    styles = {"good": "green", "skipped": "dim"}
    for one in done:
        style = styles.get(one.verdict, "bold red")
        out.print(f"{one.stage.name:<22} {one.verdict:<11} {one.seconds:7.1f} s  {one.said}", style=style, markup=False)
    for note in notes:
        out.print(f"note: {note}", style="yellow", markup=False)
    out.print(f"Artefacts: {folder}", markup=False)
