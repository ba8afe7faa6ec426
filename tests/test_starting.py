"""A command imports what it needs and nothing else: who only asks for a list waits for no API, no DNS and no report."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUTER_WORLD = {"requests", "urllib3", "proxmoxer", "dns", "testinfra", "ansible", "ansible_runner"}
FOR_PEOPLE = {"rich", "jinja2", "pytest"}


def imported_by(*arguments: str) -> set[str]:
    """Every module that was loaded, by its full name."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def parts(modules: set[str]) -> set[str]:
    """`harness.pve.client` is of the part `pve`."""
    return {name.split(".")[1] for name in modules if name.startswith("harness.")}


def test_a_list_of_the_tasks_needs_invoke_and_their_declarations() -> None:
    loaded = imported_by("-m", "invoke", "--search-root", str(ROOT), "--list")
    installed = {path.name.partition(".")[0] for path in Path(pytest.__file__).parent.parent.iterdir()}
    assert parts(loaded) == {"tasks"}
    # Invoke's own YAML looks whether the installed one can do it faster.
    assert packages(loaded) & installed <= {"invoke", "yaml", "_distutils_hack"}


def test_checking_the_inventory_opens_no_site() -> None:
    loaded = imported_by("-m", "invoke", "--search-root", str(ROOT), "inventory.check", "--site", "lab")
    assert parts(loaded) == {
        "commands",
        "contract",
        "errors",
        "identity",
        "inventory",
        "printing",
        "safe_yaml",
        "tasks",
    }
    assert packages(loaded) & (OUTER_WORLD | FOR_PEOPLE) == set()


def test_provision_imports_nothing_to_draw_and_no_other_router() -> None:
    loaded = imported_by("-c", "import harness.commands.provision, harness.commands.progress, harness.provisioning")
    assert packages(loaded) & ({"dns", "ansible", "ansible_runner"} | FOR_PEOPLE) == set()
    assert loaded & {"harness.routers.opnsense", "harness.routers.vyos"} == set()
    others = {"verify", "preflight", "drills", "templates", "nested", "instance", "bootstrap", "lab"}
    assert parts(loaded) & others == set()


def test_verify_logs_in_before_it_loads_what_judges_and_draws() -> None:
    loaded = imported_by("-c", "import harness.commands.verify")
    assert "harness.verify.trips" in loaded
    assert packages(loaded) & ((OUTER_WORLD - {"testinfra"}) | FOR_PEOPLE) == set()
    assert parts(loaded) & {"engine", "lab", "plan", "pve", "report", "site"} == set()


def test_verify_imports_nothing_that_changes_a_site_and_no_other_command() -> None:
    judging = "harness.commands.verify, harness.report.history, harness.verify.run, harness.pytest_plugin"
    fixtures = "harness.verify.fixtures, harness.verify.recovery_fixtures"
    loaded = imported_by("-c", f"import {judging}, {fixtures}; from harness.tasks import judging")
    assert {"harness.verify.site_view", "harness.report.html", "harness.drills.catalogue"} <= loaded
    others = {"engine", "lab", "answer", "preflight", "templates", "nested", "instance", "importing", "acceptance"}
    assert parts(loaded) & others == set()
    assert {name for name in loaded if name.startswith("harness.drills.")} == {
        f"harness.drills.{name}" for name in ("catalogue", "record", "standing")
    }
    assert {name for name in loaded if name.startswith("harness.commands.")} == {
        f"harness.commands.{name}" for name in ("front", "verify")
    }
    assert packages(loaded) & {"rich", "dns", "ansible", "ansible_runner"} == set()
