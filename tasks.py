"""The front door: each task a few lines, no logic. Start it with ./invoke."""

# Every task imports what it needs when it runs: `--list` and shell completion must not wait for it.

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

# The collector would look through every module again and again while they are imported, and find no garbage.
gc.set_threshold(50_000)

ROOT = Path(__file__).resolve().parent
SITE = {"site": "the site's name (default: lab)", "inventory": "the folder of all sites (default: inventory/)"}
NESTED_SITE = {"site": "the nested site's name (default: nested)", "inventory": SITE["inventory"]}
GUEST = {"guest": "only this VM"}
GUEST_TO = {"guest": "the name of the VM"}
ROUTER = {"router": "the lab's router: dnsmasq, kea (behind OPNsense's API) or vyos (default: as it is, or dnsmasq)"}
JSON = {"json": "write JSON to standard output"}
FILES = {
    "junit": "write JUnit XML to this file",
    "html": "write the report to this file",
    "tap": "write TAP 14 to this file",
    "prom": "write a textfile for Prometheus to this file",
}


def _end(status: int) -> None:
    if status:
        raise Exit(code=status)


def _folder(inventory: str | None) -> Path:
    return Path(inventory).expanduser() if inventory else ROOT / "inventory"


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None


@task(help={"keep": "leave the lab up", "html": "write the report to this file", **ROUTER})
def demo(_: Context, keep: bool = False, html: str | None = None, router: str | None = None) -> None:
    """The main job on the embedded lab, from nothing to the report."""
    from harness.commands.demo import demo as run

    _end(run(keep=keep, html=_path(html), router=router))


@task
def doctor(_: Context) -> None:
    """Say what this machine can and cannot run, and the command that fixes it."""
    from harness.commands.setup import doctor as run

    _end(run())


@task(help={**SITE, **JSON, "before": "bootstrap, or provision (default: everything both need)"})
def preflight(
    _: Context, site: str = "lab", inventory: str | None = None, before: str = "provision", json: bool = False
) -> None:
    """Look at all that bootstrap and provision need, and change nothing: 0 nothing is in the way, 2 something is."""
    from harness.commands.preflight import preflight as run

    _end(run(_folder(inventory), site, before, as_json=json))


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
    _end(run(_folder(inventory), site, options))


@task(help={**SITE, **GUEST, **JSON})
def plan(
    _: Context, site: str = "lab", inventory: str | None = None, guest: str | None = None, json: bool = False
) -> None:
    """Say what provision would do."""
    from harness.commands.provision import plan as run

    _end(run(_folder(inventory), site, guest, as_json=json))


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

    _end(run(_folder(inventory), site, guest, yes=yes, as_json=json, backups=not without_backups))


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

    _end(run(_folder(inventory), site, guest, without_backup=without_backup, yes=yes, as_json=json))


@task(help={**SITE, **GUEST_TO, "yes-destroy": "its name once more, where nobody can type it"})
def destroy(
    _: Context, guest: str, site: str = "lab", inventory: str | None = None, yes_destroy: str | None = None
) -> None:
    """Remove one VM and its place in backup jobs; its backups stay."""
    from harness.commands.recovery import destroy as run

    _end(run(_folder(inventory), site, guest, said=yes_destroy))


@task(name="now", help={**SITE, **GUEST, **JSON})
def backup_now(
    _: Context, site: str = "lab", inventory: str | None = None, guest: str | None = None, json: bool = False
) -> None:
    """Back up one VM, or all, now."""
    from harness.commands.recovery import backup_now as run

    _end(run(_folder(inventory), site, guest, as_json=json))


@task(name="list", help={**SITE, **GUEST, **JSON})
def backup_list(
    _: Context, site: str = "lab", inventory: str | None = None, guest: str | None = None, json: bool = False
) -> None:
    """The backups of one VM, or of all."""
    from harness.commands.recovery import backup_list as run

    _end(run(_folder(inventory), site, guest, as_json=json))


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

    _end(run(_folder(inventory), site, guest, RestoreOptions(archive, in_place, remove, yes, json)))


@task(
    iterable=["clause"],
    help={
        **SITE,
        "guest": "only the checks of this VM",
        "clause": "only this clause, or all below a prefix; may be given again",
        "profile": "a view of the contract: management, tenant-separation or bootstrap-authority",
        "k": "pytest's -k: only checks whose name matches",
        "m": "pytest's -m: only checks with this mark: critical, major, minor, api, host, guest, router, net, drill",
        "json": "write the result to this file; - for standard output",
        **FILES,
        "pytest": "more arguments for pytest, as one string",
    },
)
def verify(
    _: Context,
    site: str = "lab",
    inventory: str | None = None,
    clause: list[str] | None = None,
    profile: str | None = None,
    guest: str | None = None,
    k: str = "",
    m: str = "",
    json: str | None = None,
    junit: str | None = None,
    html: str | None = None,
    tap: str | None = None,
    prom: str | None = None,
    pytest: str = "",
) -> None:
    """Assert the contract: 0 it holds, 1 a promise is broken, 2 something could not be looked at."""
    import shlex

    from harness.commands.verify import verify as run
    from harness.verify import VerifyOptions

    options = VerifyOptions(
        site=site,
        inventory=_folder(inventory),
        clauses=tuple(clause or ()),
        profile=profile,
        guest=guest,
        json=_path(json),
        html=_path(html),
        junit=_path(junit),
        tap=_path(tap),
        prom=_path(prom),
        pytest_args=(*(["-k", k] if k else []), *(["-m", m] if m else []), *shlex.split(pytest)),
    )
    _end(run(options))


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

    _end(run(_folder(inventory), site, name, guest=guest, yes=yes, as_json=json))


@task(help={**SITE, **JSON})
def drills(_: Context, site: str = "lab", inventory: str | None = None, json: bool = False) -> None:
    """Say what each drill does, whether it is allowed here, and how long ago it was good."""
    from harness.commands.drill import list_drills as run

    _end(run(_folder(inventory), site, as_json=json))


@task(
    help={
        "site": SITE["site"],
        "run": "which run: last, previous, green, the start of a name of --list, or a JSON file (default: last)",
        "compare": "BEFORE..AFTER: what changed between two runs",
        "list": "the runs that are kept",
        "open": "open it in the browser",
        "json": "write the result to this file",
        **FILES,
    }
)
def report(
    _: Context,
    site: str = "lab",
    run: str | None = None,
    compare: str | None = None,
    list: bool = False,  # noqa: A002 - the option's name
    open: bool = False,  # noqa: A002 - the option's name
    json: str | None = None,
    junit: str | None = None,
    html: str | None = None,
    tap: str | None = None,
    prom: str | None = None,
) -> None:
    """Make the report of a kept run again, in any form, or compare two: 1 when something is worse."""
    from harness.commands.report import ReportOptions
    from harness.commands.report import report as start

    asked = {"json": json, "junit": junit, "html": html, "tap": tap, "prom": prom}
    files = {kind: Path(file).expanduser() for kind, file in asked.items() if file}
    _end(start(site, ReportOptions(run, compare, list, open, files)))


@task(name="check", help={"site": "only this site (default: all)", "inventory": SITE["inventory"]})
def inventory_check(_: Context, site: str | None = None, inventory: str | None = None) -> None:
    """Every mistake of the inventory at once, with file and line."""
    from harness.commands.inventory import check as run

    _end(run(_folder(inventory), site))


@task(name="show", help=SITE)
def inventory_show(_: Context, site: str = "lab", inventory: str | None = None) -> None:
    """The site as everything else sees it, as JSON."""
    from harness.commands.exporting import show as run

    _end(run(_folder(inventory), site))


@task(name="mac", help={**SITE, "category": "observability, automation or access", "group": "a group of the namespace"})
def inventory_mac(_: Context, category: str, group: str, site: str = "lab", inventory: str | None = None) -> None:
    """The next free MAC."""
    from harness.commands.inventory import mac as run

    _end(run(_folder(inventory), site, category, group))


@task(
    name="export",
    help={
        **SITE,
        "for": "ansible, hosts, kea, dnsmasq, opnsense or vyos",
        "schema": "JSON Schema of our keys, for editors",
    },
)
def inventory_export(
    _: Context, for_: str = "", site: str = "lab", inventory: str | None = None, schema: bool = False
) -> None:
    """Write the inventory for other tools."""
    from harness.commands.exporting import export
    from harness.commands.inventory import export_schema

    if bool(for_) == schema:
        what = "--for ansible|hosts|kea|dnsmasq|opnsense|vyos, or --schema for editors"
        raise Exit(f"Say what to export: {what}.", code=2)
    _end(export_schema() if schema else export(_folder(inventory), site, for_))


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
def inventory_import(
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

    _end(run(_folder(inventory), site, Access(url, fingerprint, token, _path(secret_file), node)))


TEMPLATE = {"template": "a key of mgmt_hypervisor.templates (default: the only one)"}


@task(name="import", help={**SITE, **TEMPLATE, **JSON})
def template_import(
    _: Context, site: str = "lab", inventory: str | None = None, template: str | None = None, json: bool = False
) -> None:
    """Make the declared template of its image and test it: 0 it is fit, 1 it is not, 2 it could not be brought."""
    from harness.commands.template import import_template as run

    _end(run(_folder(inventory), site, template, as_json=json))


@task(name="build", help={**SITE, **TEMPLATE, **JSON})
def template_build(
    _: Context, site: str = "lab", inventory: str | None = None, template: str | None = None, json: bool = False
) -> None:
    """Have the image factory build the declared template with packer, and test it."""
    from harness.commands.template import build_template as run

    _end(run(_folder(inventory), site, template, as_json=json))


@task(name="test", help={**SITE, **TEMPLATE, **JSON})
def template_test(
    _: Context, site: str = "lab", inventory: str | None = None, template: str | None = None, json: bool = False
) -> None:
    """Test a template that is there on a clone of it, and keep the result in its notes."""
    from harness.commands.template import test_template as run

    _end(run(_folder(inventory), site, template, as_json=json))


@task(name="list", help={**SITE, **JSON})
def template_list(_: Context, site: str = "lab", inventory: str | None = None, json: bool = False) -> None:
    """The templates of the site: which are there, tested, usable, and how many VMs were made of each."""
    from harness.commands.template import list_templates as run

    _end(run(_folder(inventory), site, as_json=json))


@task(name="render", help=SITE)
def router_render(_: Context, site: str = "lab", inventory: str | None = None) -> None:
    """What the core router should be given, as text to review."""
    from harness.commands.router import render as run

    _end(run(_folder(inventory), site))


@task(name="check", help={**SITE, **JSON})
def router_check(_: Context, site: str = "lab", inventory: str | None = None, json: bool = False) -> None:
    """Compare the core router with the inventory: 0 the same, 1 it differs, 2 it could not be looked at."""
    from harness.commands.router import check as run

    _end(run(_folder(inventory), site, as_json=json))


@task(
    name="apply",
    help={**SITE, "yes": "do not ask", "no-offers": "prove it by DNS alone, where no hypervisor runs yet"},
)
def router_apply(
    _: Context, site: str = "lab", inventory: str | None = None, yes: bool = False, no_offers: bool = False
) -> None:
    """Put the inventory's reservations and records on the core router, and prove that it serves them."""
    from harness.commands.router import apply as run

    _end(run(_folder(inventory), site, yes=yes, offers=not no_offers))


@task(
    name="up",
    help={
        **SITE,
        **ROUTER,
        "bootstrapped": "the hypervisor as bootstrap leaves it: the short cut for trying provision and verify",
        "latency": "how far away it is: none, lan (0.5 ms each way) or wan (20 ms) (default: as it is, or none)",
    },
)
def lab_up(
    _: Context,
    site: str = "lab",
    inventory: str | None = None,
    router: str | None = None,
    bootstrapped: bool = False,
    latency: str | None = None,
) -> None:
    """Bring the embedded lab up, its hypervisor as the installer leaves it; nothing is done when it is up."""
    from harness.commands.lab import up as run

    _end(run(_folder(inventory), site, router, bootstrapped=bootstrapped, latency=latency))


@task(name="build")
def lab_build(_: Context) -> None:
    """Build what the lab is made of, while there is a network: lab.up and demo need none then."""
    from harness.commands.lab import build as run

    _end(run())


@task(name="status", help=JSON)
def lab_status(_: Context, json: bool = False) -> None:
    """Whether the lab is up, and how to reach it."""
    from harness.commands.lab import status as run

    _end(run(as_json=json))


@task(name="ssh", positional=["name"], help={"name": "a host or VM of the lab"})
def lab_ssh(_: Context, name: str) -> None:
    """Log in to a host of the lab."""
    from harness.commands.lab import ssh as run

    _end(run(name))


@task(name="down")
def lab_down(_: Context) -> None:
    """Take the lab down; nothing of it stays."""
    from harness.commands.lab import down as run

    _end(run())


@task(name="build", help=NESTED_SITE)
def nested_build(_: Context, site: str = "nested", inventory: str | None = None) -> None:
    """Install the nested Proxmox VM from the official ISO, unattended, and keep its disk for nested.up."""
    from harness.commands.nested import build as run

    _end(run(_folder(inventory), site))


@task(name="up", help=NESTED_SITE)
def nested_up(_: Context, site: str = "nested", inventory: str | None = None) -> None:
    """Start the nested Proxmox VM behind the lab's router, fresh from its disk; nothing is done when it is up."""
    from harness.commands.instance import up as run

    _end(run(_folder(inventory), site))


@task(name="status", help={"site": NESTED_SITE["site"], **JSON})
def nested_status(_: Context, site: str = "nested", json: bool = False) -> None:
    """Whether the nested Proxmox VM is up, and how to reach it."""
    from harness.commands.instance import status as run

    _end(run(site, as_json=json))


@task(name="down", help={"site": NESTED_SITE["site"]})
def nested_down(_: Context, site: str = "nested") -> None:
    """Take the nested Proxmox VM down; what it wrote is gone, the disk it started from stays."""
    from harness.commands.instance import down as run

    _end(run(site))


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

    _end(run(_folder(inventory), site, folder=_path(artifacts), kvm=kvm, keep=keep))


@task(help={"pytest": "more arguments for pytest, as one string"})
def test(_: Context, pytest: str = "") -> None:
    """All tests of the harness, on three labs side by side; those that `--pytest` chooses, one after another."""
    import shlex

    from harness.commands.setup import install_missing_or_say

    install_missing_or_say()
    _end(_run("-m", "pytest", *shlex.split(pytest)) if pytest else _run("-m", "tests.side_by_side"))


@task
def lint(_: Context) -> None:
    """Format, lint and types."""
    for command in (("ruff", "format", "--check", "."), ("ruff", "check", "."), ("mypy",)):
        _end(_run("-m", *command))


@task(lint, test)
def check(_: Context) -> None:
    """The gate: format, lint, types and all tests."""


def _run(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False).returncode


namespace = Collection(
    demo, doctor, bootstrap, preflight, plan, provision, verify, drill, drills, report, test, lint, check
)
for recovery in (rebuild, destroy, restore):
    namespace.add_task(recovery)
namespace.add_collection(Collection(backup_now, backup_list), name="backup")
inventory_tasks = (inventory_check, inventory_show, inventory_mac, inventory_export, inventory_import)
namespace.add_collection(Collection(*inventory_tasks), name="inventory")
namespace.add_collection(Collection(router_render, router_check, router_apply), name="router")
template_tasks = (template_import, template_build, template_test, template_list)
namespace.add_collection(Collection(*template_tasks), name="template")
namespace.add_collection(Collection(nested_build, nested_up, nested_status, nested_down), name="nested")
namespace.add_task(acceptance)
namespace.add_collection(Collection(lab_build, lab_up, lab_status, lab_ssh, lab_down), name="lab")
