"""The declared site: its mistakes, its whole, and what other tools read of it."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from harness.tasks.shared import SITE, end_with, path_of, sites_folder


@task(help={"site": "only this site (default: all)", "inventory": SITE["inventory"]})
def check(_: Context, site: str | None = None, inventory: str | None = None) -> None:
    """Every mistake of the inventory at once, with file and line."""
    from harness.commands.inventory import check as run

    end_with(run(sites_folder(inventory), site))


@task(help=SITE)
def show(_: Context, site: str = "lab", inventory: str | None = None) -> None:
    """The site as everything else sees it, as JSON."""
    from harness.commands.exporting import show as run

    end_with(run(sites_folder(inventory), site))


@task(help={**SITE, "category": "observability, automation or access", "group": "a group of the namespace"})
def mac(_: Context, category: str, group: str, site: str = "lab", inventory: str | None = None) -> None:
    """The next free MAC."""
    from harness.commands.inventory import mac as run

    end_with(run(sites_folder(inventory), site, category, group))


@task(
    help={
        **SITE,
        "for": "ansible, hosts, kea, dnsmasq, opnsense or vyos",
        "schema": "JSON Schema of our keys, for editors",
    },
)
def export(_: Context, for_: str = "", site: str = "lab", inventory: str | None = None, schema: bool = False) -> None:
    """Write the inventory for other tools."""
    from harness.commands.exporting import export, export_schema

    if bool(for_) == schema:
        what = "--for ansible|hosts|kea|dnsmasq|opnsense|vyos, or --schema for editors"
        raise Exit(f"Say what to export: {what}.", code=2)
    end_with(export_schema() if schema else export(sites_folder(inventory), site, for_))


@task(
    name="import",
    help={
        **SITE,
        "url": "https://host:8006 of a hypervisor that the inventory does not describe",
        "fingerprint": "SHA-256 of its certificate",
        "token": "user@realm!name of an audit token",
        "secret-file": "the file that holds the token's secret",
        "node": "which node, where the URL leads to a cluster",
    },
)
def import_(
    _: Context,
    site: str = "lab",
    inventory: str | None = None,
    url: str | None = None,
    fingerprint: str | None = None,
    token: str | None = None,
    secret_file: str | None = None,
    node: str | None = None,
) -> None:
    """Print the inventory that a live hypervisor would need."""
    from harness.commands.importing import Access
    from harness.commands.importing import import_inventory as run

    end_with(run(sites_folder(inventory), site, Access(url, fingerprint, token, path_of(secret_file), node)))
