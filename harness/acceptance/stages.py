"""The commands of an acceptance run, derived from the contract: the same that a person would type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from harness.acceptance.running import Stage
from harness.contract import Contract
from harness.drills.catalogue import DRILLS

# What the site stands on: the embedded lab, or a nested Proxmox VM.
Ground = Literal["lab", "nested"]

HTML, JUNIT, JSON = "report.html", "junit.xml", "verify.json"


def stages_of(contract: Contract, ground: Ground, inventory: Path, folder: Path) -> tuple[Stage, ...]:
    """Everything between nothing and the report; what a stage `needs` must have gone well before it."""
    site = ("--site", contract.site, "--inventory", str(inventory))
    return (
        *_ground(ground, site),
        Stage("bootstrap", ("bootstrap", *site), needs=("up",)),
        *_templates(contract, site),
        Stage("provision", ("provision", *site, "--yes"), needs=("bootstrap", "template")),
        Stage("backup", ("backup.now", *site), needs=("provision",)),
        Stage("verify", ("verify", *site), needs=("provision",)),
        *_drills(contract, site),
        # Once more, after the drills: their results are part of the contract.
        Stage("report", ("verify", *site, *_outputs(folder)), needs=("provision",)),
    )


def down_of(contract: Contract, ground: Ground) -> Stage:
    """The way back, whatever went before."""
    return Stage("down", ("lab.down",) if ground == "lab" else ("nested.down", "--site", contract.site))


def _ground(ground: Ground, site: tuple[str, ...]) -> Iterator[Stage]:
    if ground == "lab":
        yield Stage("up", ("lab.up", *site))
        return
    yield Stage("build", ("nested.build", *site))
    yield Stage("up", ("nested.up", *site), needs=("build",))


def _templates(contract: Contract, site: tuple[str, ...]) -> Iterator[Stage]:
    """Each template that the inventory has an image of; any other must be there already."""
    for key, template in contract.hypervisor.templates.items():
        if template.image is not None:
            yield Stage("template", ("template.import", *site, "--template", key), needs=("bootstrap",))


def _drills(contract: Contract, site: tuple[str, ...]) -> Iterator[Stage]:
    """Those that the site allows; a site whose promises are broken as it stands is not drilled."""
    for name in DRILLS:
        if name in contract.drills:
            yield Stage(f"drill {name}", ("drill", name, *site, "--yes"), needs=("backup", "verify"))


def _outputs(folder: Path) -> tuple[str, ...]:
    files = {"--html": HTML, "--junit": JUNIT, "--json": JSON}
    return tuple(word for option, name in files.items() for word in (option, str(folder / name)))
