"""The embedded lab."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import JSON, ROUTER, SITE, end_with, sites_folder


@task
def build(_: Context) -> None:
    """Build what the lab is made of, while there is a network: lab.up and demo need none then."""
    from harness.commands.lab import build as run

    end_with(run())


@task(
    help={
        **SITE,
        **ROUTER,
        "bootstrapped": "the hypervisor as bootstrap leaves it: the short cut for trying provision and verify",
        "latency": "how far away it is: none, lan (0.5 ms each way) or wan (20 ms) (default: as it is, or none)",
        "work": "PVE's tasks are instant, or recorded: as on a recorded node (default: as it is, or instant)",
    },
)
def up(
    _: Context,
    site: str = "lab",
    inventory: str | None = None,
    router: str | None = None,
    bootstrapped: bool = False,
    latency: str | None = None,
    work: str | None = None,
) -> None:
    """Bring the embedded lab up, its hypervisor as the installer leaves it; nothing is done when it is up."""
    from harness.commands.lab import up as run

    end_with(run(sites_folder(inventory), site, router, bootstrapped=bootstrapped, latency=latency, work=work))


@task(help=JSON)
def status(_: Context, json: bool = False) -> None:
    """Whether the lab is up, and how to reach it."""
    from harness.commands.lab import status as run

    end_with(run(as_json=json))


@task(positional=["name"], help={"name": "a host or VM of the lab"})
def ssh(_: Context, name: str) -> None:
    """Log in to a host of the lab."""
    from harness.commands.lab import ssh as run

    end_with(run(name))


@task
def down(_: Context) -> None:
    """Take the lab down; nothing of it stays."""
    from harness.commands.lab import down as run

    end_with(run())
