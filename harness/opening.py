"""Open a site's contract, and load no more for it than that takes."""

from __future__ import annotations

import os
from pathlib import Path

from harness.contract import Contract
from harness.embedded import router_variables, running_router
from harness.inventory import load, resolve

CHECKOUT = Path(__file__).resolve().parent.parent


def state_folder(site: str) -> Path:
    """Where this machine keeps what it learned of a site: journal, host keys, reports."""
    root = os.environ.get("MGMT_HARNESS_STATE")
    return (Path(root).expanduser() if root else CHECKOUT / ".state") / site


def open_contract(inventory: Path, site: str, *, router: str | None = None) -> Contract:
    """The site's contract; Invalid names the first mistake of the inventory.

    The lab's router comes in several kinds: the running lab's, or the one named here.
    """
    kind = router or running_router(site)
    over = router_variables(kind) if kind else None
    return resolve(load(inventory, site, over=over), state_dir=state_folder(site))
