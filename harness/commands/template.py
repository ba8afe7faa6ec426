"""Import, build, test and list templates, and say what a test found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import routers, templates
from harness.commands.front import front
from harness.contract import ApiToken, Contract, Template
from harness.core_router import lease_of, open_router, require_reservations
from harness.engine.looks import real_looks
from harness.engine.observe import observe
from harness.errors import Invalid
from harness.evidence import Secret
from harness.journal import journal_of
from harness.printing import console
from harness.secrets import read_secret
from harness.site import open_contract, open_pair, open_reader
from harness.templates import Bench, Outcome, Row
from harness.templates.bringing import Ready

UNFIT = 1
GIB = 1 << 30
Act = Callable[[Bench, Template, Ready], Outcome]


@front
def import_template(inventory: Path, site: str, key: str | None, *, as_json: bool) -> int:
    """0 it is there and fit, 1 it is there and unfit, 2 it could not be brought or tested."""
    return _run(inventory, site, key, lambda bench, one, ready: templates.bring(bench, one, ready=ready), as_json)


@front
def test_template(inventory: Path, site: str, key: str | None, *, as_json: bool) -> int:
    return _run(inventory, site, key, lambda bench, one, ready: templates.examine(bench, one, ready=ready), as_json)


@front
def build_template(inventory: Path, site: str, key: str | None, *, as_json: bool) -> int:
    def act(bench: Bench, one: Template, ready: Ready) -> Outcome:
        def secret_of(token: ApiToken) -> Secret:
            return read_secret(token.secret, base=bench.contract.site_folder)

        return templates.build(bench, one, secret_of, ready=ready)

    return _run(inventory, site, key, act, as_json)


@front
def list_templates(inventory: Path, site: str, *, as_json: bool) -> int:
    contract = open_contract(inventory, site)
    rows = templates.list_templates(contract, observe(contract, open_reader(contract)))
    if as_json:
        print(json.dumps([_render_row(row) for row in rows], indent=2))
    else:
        _show_rows(rows, console())
    return 0


def _run(inventory: Path, site: str, key: str | None, act: Act, as_json: bool) -> int:
    contract = open_contract(inventory, site)
    template = choose(contract, key)
    out = console(to_stderr=as_json)
    with _bench(contract, out) as (bench, ready):
        done = act(bench, template, ready)
    if as_json:
        print(json.dumps(_render_outcome(done), indent=2))
    _show_outcome(done, out)
    return UNFIT if done.unfit else 0


def choose(contract: Contract, key: str | None) -> Template:
    """The template of that key; the only one when none is named."""
    known = contract.hypervisor.templates
    if key is None and len(known) == 1:
        return next(iter(known.values()))
    if key is None or key not in known:
        said = "no template was named" if key is None else f"there is no template {key!r}"
        do = f"Name one with --template: {', '.join(known)}"
        raise Invalid(tried="choose a template", on=f"site {contract.site}", happened=said, do=do)
    return known[key]


@contextmanager
def _bench(contract: Contract, out: Console) -> Iterator[tuple[Bench, Ready]]:
    def say(text: str) -> None:
        out.print(text, markup=False)

    writer, reader = open_pair(contract)
    agent, journal = templates.real_agent(contract, writer), journal_of(contract)
    if not routers.is_readable(contract):
        looks = real_looks(contract)
        yield Bench(contract, writer, reader, looks, agent, journal, say), lambda _: None
        return
    with open_router(contract) as router:
        looks = real_looks(contract, partial(lease_of, router))
        bench = Bench(contract, writer, reader, looks, agent, journal, say)
        yield bench, partial(require_reservations, contract, router)


def _show_outcome(done: Outcome, out: Console) -> None:
    template = done.template
    for finding in done.findings:
        accepted = template.accepts.get(finding.check)
        mark = "ok" if finding.ok else "accepted" if accepted else "FAILED"
        reason = f" ({accepted})" if accepted and not finding.ok else ""
        out.print(f"{mark:>8}  {finding}{reason}", markup=False)
    name = f"{template.name} (VM {done.vmid})"
    if done.unfit:
        out.print(f"{name} is not fit for use: {', '.join(done.unfit)}.", style="bold red", markup=False)
    elif not done.findings:
        out.print(f"{name} is there and was tested on {done.trial.on}; nothing was done.", markup=False)
    else:
        out.print(f"{name} is {'imported and ' if done.made else ''}fit for use.", markup=False)


def _show_rows(rows: list[Row], out: Console) -> None:
    table = Table("key", "name", "VM", "storage", "disk", "VMs made of it", "state", box=None, pad_edge=False)
    for row in rows:
        size = f"{row.disk_bytes / GIB:.0f} GiB" if row.disk_bytes else "-"
        vmid = str(row.vmid) if row.vmid is not None else "-"
        state = row.state if row.usable or row.key is None else f"not usable: {row.state}"
        table.add_row(row.key or "-", row.name, vmid, row.storage, size, str(len(row.guests)), state)
    out.print(table, soft_wrap=False)


def _render_row(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "name": row.name,
        "vmid": row.vmid,
        "storage": row.storage,
        "disk_bytes": row.disk_bytes,
        "state": row.state,
        "usable": row.usable,
        "guests": list(row.guests),
    }


def _render_outcome(done: Outcome) -> dict[str, Any]:
    return {
        "template": done.template.name,
        "vmid": done.vmid,
        "made": done.made,
        "tested": done.trial.on.isoformat(),
        "failed": list(done.trial.failed),
        "unfit": list(done.unfit),
        "findings": [{"check": finding.check, "ok": finding.ok, "seen": finding.seen} for finding in done.findings],
    }
