"""The kinds of router a lab can have, and what the inventory of its site says of each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

from harness.errors import Invalid
from harness.lab.paths import FILES, RECORD
from harness.lab.record import read_record
from harness.lab.spec import RouterKind


def router_variables(kind: str) -> Path | None:
    """The file of host variables that stand in for the inventory's own; None for the kind that it describes itself."""
    if kind not in get_args(RouterKind):
        raise Invalid(
            tried="choose the lab's router",
            on=kind,
            happened="there is no such kind",
            do=f"Choose one of {', '.join(get_args(RouterKind))}",
        )
    file = FILES / "inventory" / f"{kind}.yml"
    return file if file.exists() else None


def running_router(site: str) -> str | None:
    """The kind of the running lab's router when it is that site's lab and we may look at it."""
    if not os.access(RECORD, os.R_OK):
        return None
    record = read_record()
    return record.router_kind if record is not None and record.site == site else None
