"""The VMs' backups."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import GUEST, JSON, SITE, end_with, sites_folder


@task(help={**SITE, **GUEST, **JSON})
def now(
    _: Context, site: str = "lab", inventory: str | None = None, guest: str | None = None, json: bool = False
) -> None:
    """Back up one VM, or all, now."""
    from harness.commands.recovery import backup_now as run

    end_with(run(sites_folder(inventory), site, guest, as_json=json))


@task(name="list", help={**SITE, **GUEST, **JSON})
def list_(
    _: Context, site: str = "lab", inventory: str | None = None, guest: str | None = None, json: bool = False
) -> None:
    """The backups of one VM, or of all."""
    from harness.commands.recovery import backup_list as run

    end_with(run(sites_folder(inventory), site, guest, as_json=json))
