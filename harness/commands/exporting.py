"""The inventory for others to read: the site as JSON, and what other tools want of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness import inventory as inventories
from harness.commands.front import front
from harness.errors import Invalid
from harness.inventory.exporting import export_ansible, export_hosts, export_kea
from harness.inventory.schema import json_schema
from harness.inventory.show import show as show_plainly
from harness.opening import open_contract
from harness.routers import RENDERERS


@front
def show(folder: Path, site: str) -> int:
    """The site as everything else will see it."""
    print(json.dumps(show_plainly(open_contract(folder, site)), indent=2, default=str))
    return 0


@front
def export(folder: Path, site: str, target: str) -> int:
    """The site for another tool, on standard output."""
    contract = open_contract(folder, site)
    if target == "ansible":
        found = inventories.load(folder, site)
        _print_json(export_ansible(contract, found.hosts, inventories.variables(folder, site)))
    elif target == "kea":
        _print_json(export_kea(contract))
    elif target == "hosts":
        sys.stdout.write(export_hosts(contract))
    elif target in RENDERERS:
        for what, text in RENDERERS[target](contract).items():
            sys.stdout.write(f"# --- {what}\n{text}")
    else:
        known = ", ".join(["ansible", "kea", "hosts", *RENDERERS])
        do = f"Choose one of {known}"
        raise Invalid(tried="export the inventory", on=site, happened=f"--for {target!r} is unknown", do=do)
    return 0


@front
def export_schema() -> int:
    """JSON Schema of our keys, for editors."""
    print(json.dumps(json_schema(), indent=2))
    return 0


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, default=str))
