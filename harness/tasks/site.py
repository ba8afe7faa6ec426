"""From a fresh hypervisor to its VMs, step by step or all at once."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import GUEST, JSON, ROUTER, SITE, end_with, path_of, sites_folder


@task(help={**SITE, **JSON, "before": "bootstrap, or provision (default: everything both need)"})
def preflight(
    _: Context, site: str = "lab", inventory: str | None = None, before: str = "provision", json: bool = False
) -> None:
    """Look at all that bootstrap and provision need, and change nothing: 0 nothing is in the way, 2 something is."""
    from harness.commands.preflight import preflight as run

    end_with(run(sites_folder(inventory), site, before, as_json=json))


@task(
    help={
        **SITE,
        "check": "say what differs and change nothing",
        "rotate-tokens": "end both API tokens and make new ones",
        "trust-host-key": "take the hypervisor's host key as it is, if none is pinned or declared",
    }
)
def bootstrap(
    _: Context,
    site: str = "lab",
    inventory: str | None = None,
    check: bool = False,
    rotate_tokens: bool = False,
    trust_host_key: bool = False,
) -> None:
    """Make the freshly installed hypervisor what the inventory says; a second run changes nothing."""
    from harness.bootstrap.run import Options
    from harness.commands.bootstrap import bootstrap as run

    options = Options(check=check, rotate_tokens=rotate_tokens, trust_host_key=trust_host_key)
    end_with(run(sites_folder(inventory), site, options))


@task(help={**SITE, **GUEST, **JSON})
def plan(
    _: Context, site: str = "lab", inventory: str | None = None, guest: str | None = None, json: bool = False
) -> None:
    """Say what provision would do."""
    from harness.commands.provision import plan as run

    end_with(run(sites_folder(inventory), site, guest, as_json=json))


@task(help={**SITE, **GUEST, **JSON, "yes": "do not ask", "without-backups": "make no first backups"})
def provision(
    _: Context,
    site: str = "lab",
    inventory: str | None = None,
    guest: str | None = None,
    yes: bool = False,
    json: bool = False,
    without_backups: bool = False,
) -> None:
    """Create the VMs the inventory declares, each with its first backup; what exists is left alone."""
    from harness.commands.provision import provision as run

    end_with(run(sites_folder(inventory), site, guest, yes=yes, as_json=json, backups=not without_backups))


@task(help={"keep": "leave the lab up", "html": "write the report to this file", **ROUTER})
def demo(_: Context, keep: bool = False, html: str | None = None, router: str | None = None) -> None:
    """The main job on the embedded lab, from nothing to the report."""
    from harness.commands.demo import demo as run

    end_with(run(keep=keep, html=path_of(html), router=router))


@task(
    help={
        "site": "nested, lab, or another site that is made for it (default: nested)",
        "inventory": SITE["inventory"],
        "artifacts": "keep report, logs and summary in this folder (default: below .state/)",
        "kvm": "any, required (without KVM this fails) or skip (without KVM nothing is run, and that is said)",
        "keep": "leave the site up",
    }
)
def acceptance(
    _: Context,
    site: str = "nested",
    inventory: str | None = None,
    artifacts: str | None = None,
    kvm: str = "any",
    keep: bool = False,
) -> None:
    """From nothing to the report and back to nothing: up, bootstrap, provision, verify, drills, report, down."""
    from harness.commands.acceptance import acceptance as run

    end_with(run(sites_folder(inventory), site, folder=path_of(artifacts), kvm=kvm, keep=keep))
