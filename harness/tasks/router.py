"""The core router's reservations and records."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import JSON, SITE, end_with, sites_folder


@task(help=SITE)
def render(_: Context, site: str = "lab", inventory: str | None = None) -> None:
    """What the core router should be given, as text to review."""
    from harness.commands.router import render as run

    end_with(run(sites_folder(inventory), site))


@task(help={**SITE, **JSON})
def check(_: Context, site: str = "lab", inventory: str | None = None, json: bool = False) -> None:
    """Compare the core router with the inventory: 0 the same, 1 it differs, 2 it could not be looked at."""
    from harness.commands.router import check as run

    end_with(run(sites_folder(inventory), site, as_json=json))


@task(
    help={**SITE, "yes": "do not ask", "no-offers": "prove it by DNS alone, where no hypervisor runs yet"},
)
def apply(
    _: Context, site: str = "lab", inventory: str | None = None, yes: bool = False, no_offers: bool = False
) -> None:
    """Put the inventory's reservations and records on the core router, and prove that it serves them."""
    from harness.commands.router import apply as run

    end_with(run(sites_folder(inventory), site, yes=yes, offers=not no_offers))
