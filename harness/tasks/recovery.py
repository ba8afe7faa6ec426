"""One VM anew, gone or back, and the proof that it can be."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import GUEST_TO, JSON, SITE, end_with, sites_folder


@task(help={**SITE, **GUEST_TO, **JSON, "without-backup": "there need be no young backup", "yes": "do not ask"})
def rebuild(
    _: Context,
    guest: str,
    site: str = "lab",
    inventory: str | None = None,
    without_backup: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Build one VM anew as itself: same VMID, MAC, address, name and backup jobs."""
    from harness.commands.recovery import rebuild as run

    end_with(run(sites_folder(inventory), site, guest, without_backup=without_backup, yes=yes, as_json=json))


@task(help={**SITE, **GUEST_TO, "yes-destroy": "its name once more, where nobody can type it"})
def destroy(
    _: Context, guest: str, site: str = "lab", inventory: str | None = None, yes_destroy: str | None = None
) -> None:
    """Remove one VM and its place in backup jobs; its backups stay."""
    from harness.commands.recovery import destroy as run

    end_with(run(sites_folder(inventory), site, guest, said=yes_destroy))


@task(
    help={
        **SITE,
        **GUEST_TO,
        **JSON,
        "archive": "which backup (default: the newest)",
        "in-place": "replace the VM; else a copy is made beside it, without network",
        "remove": "take the copy away again",
        "yes": "do not ask",
    }
)
def restore(
    _: Context,
    guest: str,
    site: str = "lab",
    inventory: str | None = None,
    archive: str | None = None,
    in_place: bool = False,
    remove: bool = False,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Bring one VM back from a backup, beside itself or in its place."""
    from harness.commands.recovery import RestoreOptions
    from harness.commands.recovery import restore as run

    end_with(run(sites_folder(inventory), site, guest, RestoreOptions(archive, in_place, remove, yes, json)))


@task(
    positional=["name"],
    help={
        **SITE,
        **JSON,
        "name": "which drill; ./invoke drills shows them",
        "guest": "the VM, for a drill that is about one",
        "yes": "do not ask",
    },
)
def drill(
    _: Context,
    name: str,
    site: str = "lab",
    inventory: str | None = None,
    guest: str | None = None,
    yes: bool = False,
    json: bool = False,
) -> None:
    """Prove recovery by doing it, where the inventory allows it, and undo it: 0 it holds, 1 it does not, 2 not run."""
    from harness.commands.drill import drill as run

    end_with(run(sites_folder(inventory), site, name, guest=guest, yes=yes, as_json=json))


@task(help={**SITE, **JSON})
def drills(_: Context, site: str = "lab", inventory: str | None = None, json: bool = False) -> None:
    """Say what each drill does, whether it is allowed here, and how long ago it was good."""
    from harness.commands.drill import list_drills as run

    end_with(run(sites_folder(inventory), site, as_json=json))
