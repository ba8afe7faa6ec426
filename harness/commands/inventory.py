"""The inventory's commands: validate, show, propose a MAC, export the schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness import inventory as inventories
from harness.commands.front import console, front
from harness.errors import Invalid
from harness.routers import RENDERERS
from harness.site import open_contract


@front
def check(folder: Path, site: str | None) -> int:
    """Every mistake at once; 1 when there is one that is more than a warning."""
    out = console()
    problems = inventories.check(folder, [site] if site else None)
    for problem in problems:
        out.print(str(problem), markup=False)
    errors = sum(problem.severity == "error" for problem in problems)
    names = [site] if site else inventories.sites(folder)
    out.print(
        f"{', '.join(names)}: {_count(errors, 'error')}, {_count(len(problems) - errors, 'warning')}", markup=False
    )
    return 1 if errors else 0


@front
def show(folder: Path, site: str) -> int:
    """The site as everything else will see it."""
    print(json.dumps(inventories.show(open_contract(folder, site)), indent=2, default=str))
    return 0


@front
def mac(folder: Path, site: str, category: str, group: str) -> int:
    """The next free MAC of the site's namespace, over all sites."""
    print(inventories.propose_mac(*inventories.survey(folder, site), category=category, group=group))
    return 0


@front
def export_schema() -> int:
    """JSON Schema of our keys, for editors."""
    print(json.dumps(inventories.json_schema(), indent=2))
    return 0


@front
def export(folder: Path, site: str, target: str) -> int:
    """The site for another tool, on standard output."""
    contract = open_contract(folder, site)
    if target == "ansible":
        found = inventories.load(folder, site)
        _print_json(inventories.export_ansible(contract, found.hosts, inventories.variables(folder, site)))
    elif target == "kea":
        _print_json(inventories.export_kea(contract))
    elif target == "hosts":
        sys.stdout.write(inventories.export_hosts(contract))
    elif target in RENDERERS:
        for what, text in RENDERERS[target](contract).items():
            sys.stdout.write(f"# --- {what}\n{text}")
    else:
        known = ", ".join(["ansible", "kea", "hosts", *RENDERERS])
        do = f"Choose one of {known}"
        raise Invalid(tried="export the inventory", on=site, happened=f"--for {target!r} is unknown", do=do)
    return 0


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, default=str))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
