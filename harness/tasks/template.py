"""The templates that VMs are cloned from."""

from __future__ import annotations

from invoke.context import Context
from invoke.tasks import task

from harness.tasks.shared import JSON, SITE, end_with, sites_folder

TEMPLATE = {"template": "a key of mgmt_hypervisor.templates (default: the only one)"}


@task(name="import", help={**SITE, **TEMPLATE, **JSON})
def import_(
    _: Context, site: str = "lab", inventory: str | None = None, template: str | None = None, json: bool = False
) -> None:
    """Make the declared template of its image and test it: 0 it is fit, 1 it is not, 2 it could not be brought."""
    from harness.commands.template import import_template as run

    end_with(run(sites_folder(inventory), site, template, as_json=json))


@task(help={**SITE, **TEMPLATE, **JSON})
def build(
    _: Context, site: str = "lab", inventory: str | None = None, template: str | None = None, json: bool = False
) -> None:
    """Have the image factory build the declared template with packer, and test it."""
    from harness.commands.template import build_template as run

    end_with(run(sites_folder(inventory), site, template, as_json=json))


@task(help={**SITE, **TEMPLATE, **JSON})
def test(
    _: Context, site: str = "lab", inventory: str | None = None, template: str | None = None, json: bool = False
) -> None:
    """Test a template that is there on a clone of it, and keep the result in its notes."""
    from harness.commands.template import test_template as run

    end_with(run(sites_folder(inventory), site, template, as_json=json))


@task(name="list", help={**SITE, **JSON})
def list_(_: Context, site: str = "lab", inventory: str | None = None, json: bool = False) -> None:
    """The templates of the site: which are there, tested, usable, and how many VMs were made of each."""
    from harness.commands.template import list_templates as run

    end_with(run(sites_folder(inventory), site, as_json=json))
