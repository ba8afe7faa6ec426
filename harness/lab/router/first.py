"""The files a router starts with for the first time: its own state, and what its daemons are to serve."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Literal

from . import opnsense, vyos
from .seed import Seed
from .services import CONFIG
from .vyos_commit import daemon_files as vyos_files
from .vyos_tree import Release

Product = Literal["opnsense", "vyos"]
STATE = "/var/lib/router-api"


def first_files(product: Product, seed: Seed, release: Release = "1.5") -> dict[str, str]:
    """Path -> text; keys.json is for whoever makes the keys."""
    state: dict[str, Any]
    if product == "opnsense":
        state = opnsense.first_state(seed)
        daemons = opnsense.daemon_files(state)
    else:
        state = vyos.first_state(seed, release)
        daemons = vyos_files(state["running"], seed)
    return {
        f"{STATE}/state.json": json.dumps(state, indent=1),
        f"{STATE}/seed.json": json.dumps(asdict(seed)),
        **{str(CONFIG[name]): text for name, text in daemons.items()},
    }
