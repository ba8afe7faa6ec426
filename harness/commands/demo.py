"""The main job on the embedded lab from nothing: lab up, bootstrap, provision, verify, report, lab down."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from harness import lab
from harness.bootstrap.run import Options
from harness.commands.bootstrap import carry_out
from harness.commands.front import front
from harness.commands.lab import start
from harness.commands.provision import build
from harness.commands.setup import install_missing
from harness.commands.verify import keep_report
from harness.printing import console
from harness.site import CHECKOUT, open_contract
from harness.verify import VerifyOptions

SITE = "lab"
INVENTORY = CHECKOUT / "inventory"


@front
def demo(*, keep: bool, html: Path | None, router: str | None = None) -> int:
    """0 when every asserted promise holds on the lab or is waived; the lab is gone afterwards unless `keep`."""
    out = console()
    contract = open_contract(INVENTORY, SITE, router=router)
    install_missing(out)
    with _phase("lab up", out):
        start(contract, out, "installed")
    try:
        with _phase("bootstrap", out):
            bootstrapped = carry_out(contract, Options(), out)
        if bootstrapped.failed:
            return 2
        with _phase("provision", out):
            done = build(contract, None, out)
        if done.failed:
            return 2
        with _phase("verify", out):
            return keep_report(VerifyOptions(html=html), contract, out)
    finally:
        if keep:
            out.print("The lab stays up. Look around: ./invoke lab.status; take it down: ./invoke lab.down")
        else:
            with _phase("lab down", out):
                lab.down(lambda _: None)


@contextmanager
def _phase(name: str, out: Console) -> Iterator[None]:
    started = time.monotonic()
    out.rule(name, align="left")
    yield
    out.print(f"{name}: {time.monotonic() - started:.1f} s", markup=False)
