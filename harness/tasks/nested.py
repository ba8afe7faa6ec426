"""The nested Proxmox VM."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import JSON, NESTED_SITE, end_with, sites_folder


@task(help=NESTED_SITE)
def build(_: Context, site: str = "nested", inventory: str | None = None) -> None:
    """Install the nested Proxmox VM from the official ISO, unattended, and keep its disk for nested.up."""
    from harness.commands.nested import build as run

    end_with(run(sites_folder(inventory), site))


@task(help=NESTED_SITE)
def up(_: Context, site: str = "nested", inventory: str | None = None) -> None:
    """Start the nested Proxmox VM behind the lab's router, fresh from its disk; nothing is done when it is up."""
    from harness.commands.instance import up as run

    end_with(run(sites_folder(inventory), site))


@task(help={"site": NESTED_SITE["site"], **JSON})
def status(_: Context, site: str = "nested", json: bool = False) -> None:
    """Whether the nested Proxmox VM is up, and how to reach it."""
    from harness.commands.instance import status as run

    end_with(run(site, as_json=json))


@task(help={"site": NESTED_SITE["site"]})
def down(_: Context, site: str = "nested") -> None:
    """Take the nested Proxmox VM down; what it wrote is gone, the disk it started from stays."""
    from harness.commands.instance import down as run

    end_with(run(site))
