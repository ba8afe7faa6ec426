"""The commands that take one guest's VM down, and those of its backups."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import routers
from harness.commands.front import front
from harness.commands.progress import GuestProgress
from harness.contract import Contract
from harness.core_router import lease_of, open_router, require_reservations
from harness.engine import backing_up, destroying, quiet, rebuilding, restoring, saved, scratch
from harness.engine.looks import GuestLooks, real_looks
from harness.engine.rebuilding import Done
from harness.errors import Invalid
from harness.printing import console
from harness.pve import backups
from harness.site import open_contract, open_pair, open_reader


@front
def rebuild(inventory: Path, site: str, guest: str, *, without_backup: bool, yes: bool, as_json: bool) -> int:
    """Build a guest anew as itself; what is on its disks is lost."""
    contract, out = open_contract(inventory, site), console(to_stderr=as_json)
    quiet.guest_named(contract, guest, to="rebuild")
    with _tools(contract, out) as tools:
        done = rebuilding.rebuild(
            contract,
            name=guest,
            without_backup=without_backup,
            ready=tools.ready,
            agree=_asker(out, f"Rebuild {guest}", yes=yes),
            **tools.common(),
        )
    return _show(done, out, as_json=as_json)


@front
def destroy(inventory: Path, site: str, guest: str, *, said: str | None) -> int:
    """Remove a guest's VM, after its name was typed."""
    contract, out = open_contract(inventory, site), console()
    quiet.guest_named(contract, guest, to="destroy")
    if said is None and not sys.stdin.isatty():
        raise _unsaid(guest)

    def agree(lost: str) -> bool:
        out.print(lost, style="yellow", markup=False)
        typed = said if said is not None else out.input(f"Type the name of the VM to destroy ({guest}): ").strip()
        if typed != guest:
            raise _unsaid(guest)
        return True

    with _tools(contract, out) as tools:
        done = destroying.destroy(contract, name=guest, agree=agree, **tools.common())
    return _show(done, out, as_json=False)


@front
def backup_now(inventory: Path, site: str, guest: str | None, *, as_json: bool) -> int:
    """Back up one guest, or all."""
    contract, out = open_contract(inventory, site), console(to_stderr=as_json)
    names = [guest] if guest else [one.name for one in contract.guests]
    with _tools(contract, out) as tools:
        made = backing_up.back_up(contract, names=names, **tools.common())
    now = max((one.archive.made_at for one in made), default=0)
    if as_json:
        rows = [{"guest": one.guest, **_archive(one.archive, now), "seconds": round(one.seconds, 3)} for one in made]
        print(json.dumps(rows, indent=2))
    for one in made if not as_json else ():
        size = saved.said_size(one.archive.size_bytes)
        out.print(f"{one.guest}: {one.archive.volid}, {size} in {one.seconds:.1f} s", markup=False)
        for warning in one.warnings:
            out.print(f"    {warning}", style="yellow", markup=False)
    return 0


@front
def backup_list(inventory: Path, site: str, guest: str | None, *, as_json: bool) -> int:
    """Each guest's backups, newest first."""
    contract, out = open_contract(inventory, site), console()
    guests = [quiet.guest_named(contract, guest, to="list backups")] if guest else list(contract.guests)
    client = open_reader(contract, purpose="provision")
    now = backups.read_clock(client, contract.hypervisor.node)
    found = {one.name: saved.archives_of(contract, client, one) for one in guests}
    if as_json:
        print(
            json.dumps({name: [_archive(one, now) for one in archives] for name, archives in found.items()}, indent=2)
        )
        return 0
    for name, archives in found.items():
        out.print(f"{name}: {len(archives) or 'no'} backup{'' if len(archives) == 1 else 's'}", markup=False)
        old = bool(archives) and now - archives[0].made_at > contract.backup_max_age_s
        for number, archive in enumerate(archives):
            late = " (older than the site allows)" if old and number == 0 else ""
            out.print(f"    {saved.said_archive(archive, now)}{late}", style="yellow" if late else None, markup=False)
    return 0


@dataclass(frozen=True)
class RestoreOptions:
    archive: str | None
    in_place: bool
    remove: bool
    yes: bool
    as_json: bool


@front
def restore(inventory: Path, site: str, guest: str, options: RestoreOptions) -> int:
    """Beside the guest and without network, or with --in-place instead of it."""
    contract, out = open_contract(inventory, site), console(to_stderr=options.as_json)
    quiet.guest_named(contract, guest, to="restore")
    if options.remove and (options.in_place or options.archive):
        raise Invalid(
            tried="restore",
            on=guest,
            happened="--remove goes with neither --in-place nor --archive; nothing was changed",
            do="Say --remove alone, or leave it out",
        )
    with _tools(contract, out) as tools:
        if options.remove:
            removed = scratch.remove_scratch(contract, name=guest, **tools.common())
            out.print("The scratch VM is gone" if removed else "There is no scratch VM", markup=False)
            return 0
        if not options.in_place:
            return _show_tried(
                contract,
                scratch.restore_to_scratch(contract, name=guest, archive=options.archive, **tools.common()),
                out,
                as_json=options.as_json,
            )
        done = restoring.restore_in_place(
            contract,
            name=guest,
            archive=options.archive,
            ready=tools.ready,
            agree=_asker(out, f"Restore {guest} in place", yes=options.yes),
            **tools.common(),
        )
    return _show(done, out, as_json=options.as_json)


@dataclass(frozen=True)
class _Tools:
    """What every one of these commands works with."""

    contract: Contract
    looks: GuestLooks
    progress: GuestProgress
    ready: Callable[[Any], None] | None

    def common(self) -> dict[str, Any]:
        writer, reader = open_pair(self.contract)
        return {
            "client": writer,
            "reader": reader,
            "looks": self.looks,
            "report": self.progress.report,
        }


@contextmanager
def _tools(contract: Contract, out: Console) -> Iterator[_Tools]:
    with ExitStack() as stack:
        router = stack.enter_context(open_router(contract)) if routers.is_readable(contract) else None
        lease = partial(lease_of, router) if router else None
        ready = partial(require_reservations, contract, router) if router else None
        progress = stack.enter_context(GuestProgress(out))
        yield _Tools(contract, real_looks(contract, lease), progress, ready)


def _asker(out: Console, question: str, *, yes: bool) -> Callable[[str], bool]:
    def agree(lost: str) -> bool:
        out.print(f"{question}: {lost}", style="yellow", markup=False)
        if yes or not sys.stdin.isatty():
            return True
        return out.input(f"{question}? [y/N] ").strip().lower() in {"y", "yes"}

    return agree


def _unsaid(guest: str) -> Invalid:
    return Invalid(
        tried="destroy",
        on=guest,
        happened="its name was not said a second time; nothing was changed",
        do=f"Type it when asked at a terminal, or say --yes-destroy {guest}",
    )


def _show(done: Done | None, out: Console, *, as_json: bool) -> int:
    if done is None:
        out.print("Nothing was changed.")
        return 0
    result = done.result
    if as_json:
        print(json.dumps(render_done(done), indent=2))
        return 0
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in result.seconds.items())
    out.print(f"{result.guest}: {result.outcome} in {done.seconds:.1f} s ({steps})", markup=False)
    for note in (*done.notes, *result.warnings, *result.retries):
        out.print(f"    {note}", style="yellow", markup=False)
    return 0


def render_done(done: Done) -> dict[str, Any]:
    """The run as JSON's own types."""
    result = done.result
    return {
        "guest": result.guest,
        "vmid": result.vmid,
        "outcome": result.outcome,
        "seconds": result.seconds,
        "upids": result.upids,
        "warnings": result.warnings,
        "retries": result.retries,
        "notes": list(done.notes),
        "writes": done.writes,
    }


def _show_tried(contract: Contract, tried: scratch.Tried, out: Console, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(vars(tried), indent=2))
        return 0
    remove = contract.invoke(f"restore --guest {tried.guest} --remove")
    out.print(
        f"{tried.archive} boots as VM {tried.vmid}: {tried.proof} ({tried.seconds:.1f} s). Its NIC is unplugged. "
        f"Remove it: {remove}",
        markup=False,
    )
    return 0


def _archive(archive: backups.Archive, now: int) -> dict[str, Any]:
    return {**vars(archive), "age_s": max(0, now - archive.made_at)}
