"""What is known of the embedded lab without loading it: where a running one is, and what kind of router it has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Literal, get_args

from harness.errors import Invalid

STATE = Path("/var/lib/mgmt-lab")
RECORD = STATE / "status.json"
# The lab's own dnsmasq, or Kea and unbound behind the API of OPNsense (kea) or of VyOS (vyos).
RouterKind = Literal["dnsmasq", "kea", "vyos"]
VARIABLES = Path(__file__).parent / "lab/files/inventory"


def is_of_lab(path: Path | None) -> bool:
    """Whether a file that an inventory refers to is one that the lab makes."""
    return path is not None and path.is_relative_to(STATE)


def router_variables(kind: str) -> Path | None:
    """The file of host variables that stand in for the inventory's own; None for the kind that it describes itself."""
    if kind not in get_args(RouterKind):
        raise Invalid(
            tried="choose the lab's router",
            on=kind,
            happened="there is no such kind",
            do=f"Choose one of {', '.join(get_args(RouterKind))}",
        )
    file = VARIABLES / f"{kind}.yml"
    return file if file.exists() else None


def running_router(site: str) -> RouterKind | None:
    """The kind of the running lab's router when it is that site's lab and we may look at it."""
    if not os.access(RECORD, os.R_OK):
        return None
    try:
        kept = json.loads(RECORD.read_text())
    except (FileNotFoundError, ValueError):
        return None  # taken down meanwhile, or no lab of this version
    kind = kept.get("router_kind")
    return kind if kept.get("site") == site and kind in get_args(RouterKind) else None
