"""No secret is seen by anybody it is not for: not in output, logs, reports, processes, passing files or wide modes."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.lab import machines, paths
from tests.bootstrap.installed import SECRETS, Installed, installed_lab
from tests.bootstrap.watching import Seen, files_below, told, too_open, watching
from tests.site.driver import ROOT, Ended

pytestmark = pytest.mark.lab

NAMES = ("root.password", "verify.token", "provision.token")
TEMPORARY = Path(tempfile.gettempdir())  # where the runs of this machine put what passes
GUEST = "metrics-vm01"
# Inside the hypervisor: the Debian tree and the guests, which are other machines, are mounted there.
FOLDERS = ("etc", "root", "home", "opt", "srv", "tmp", "var", "run")
OTHER_MACHINES = frozenset({"/lib/mgmt-lab", "/lib/pve-guests"})


@dataclass(frozen=True)
class Run:
    """Everything that was run, what it said and what was seen meanwhile; `secrets` also has those that have ended."""

    site: Installed
    ended: dict[str, Ended]
    seen: Seen
    secrets: dict[str, str]


def read_secrets(when: str) -> dict[str, str]:
    return {f"{name} {when}": (SECRETS / name).read_text().strip() for name in NAMES}


def invoke(site: Installed, task: str, *arguments: str) -> Ended:
    command = [
        sys.executable,
        "-m",
        "invoke",
        "--search-root",
        str(ROOT),
        task,
        f"--inventory={site.folder / 'inventory'}",
    ]
    done = subprocess.run(
        [*command, *arguments],
        env=site.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return Ended(done.returncode, done.stdout, done.stdout + done.stderr)


def root_of(host: str) -> Path:
    return Path(f"/proc/{machines.running(paths.MACHINES / host)}/root")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A first bootstrap by password, a rotation, and whatever uses the tokens then: well, and when it goes wrong."""
    folder = tmp_path_factory.mktemp("secrets")
    reports = [f"--{kind}={folder / f'report.{kind}'}" for kind in ("json", "html", "junit")]
    with installed_lab(folder) as site:
        hv01 = root_of("hv01")
        inside = (hv01 / "tmp", hv01 / "root/.ansible", hv01 / "var/lib/mgmt-harness")
        with watching(lambda: [*TEMPORARY.glob("mgmt-*"), *inside]) as seen:
            ended = {"bootstrap": invoke(site, "bootstrap")}
            secrets = read_secrets("at first")
            ended["rotation"] = invoke(site, "bootstrap", "--rotate-tokens")
            secrets |= read_secrets("in the end")
            ended["preflight"] = invoke(site, "preflight")
            ended["provision"] = invoke(site, "provision", f"--guest={GUEST}")
            ended["verify"] = invoke(site, "verify", *reports)
            ended["check"] = invoke(site, "bootstrap", "--check")
            site.inside("systemctl stop pveproxy")
            ended["verify without an API"] = invoke(site, "verify", "--clause=bootstrap")
            ended["bootstrap without an API"] = invoke(site, "bootstrap")
        yield Run(site, ended, seen, secrets)


def test_everything_ran_and_the_secrets_are_secrets(run: Run) -> None:
    assert {what for what, ended in run.ended.items() if ended.status == 0} >= {
        "bootstrap",
        "rotation",
        "preflight",
        "provision",
        "check",
    }, {what: ended.said for what, ended in run.ended.items()}
    assert len(set(run.secrets.values())) == 5, "a password, and two tokens twice"
    assert all(len(secret) > 15 for secret in run.secrets.values())
    assert "report.html" in {path.name for path in run.site.folder.iterdir()}


def test_no_output_tells_one(run: Run) -> None:
    assert told(run.secrets, (ended.said for ended in run.ended.values())) == []


def test_no_command_line_tells_one(run: Run) -> None:
    lines = run.seen.command_lines
    assert any("ansible-playbook" in line for line in lines), "nobody watched this machine"
    assert any(re.search(r"pvesh create /access/users/\S+/token/", line) for line in lines), "nor the hypervisor"
    assert told(run.secrets, lines) == []


def test_no_environment_tells_one(run: Run) -> None:
    assert any("ANSIBLE_SSH_ARGS" in one for one in run.seen.environments), "nobody watched this machine"
    assert any("SSH_ASKPASS_REQUIRE" in one for one in run.seen.environments), "nor the first contact"
    assert any("SSH_CONNECTION=198.18.99.254" in one for one in run.seen.environments), "nor the hypervisor"
    assert told(run.secrets, run.seen.environments) == []


def test_nothing_that_passes_tells_one(run: Run) -> None:
    """Ansible's and ansible-runner's own files, and what waits on the hypervisor to be fetched."""
    paths_seen = {path for path, _, _ in run.seen.files}
    assert any("/ansible/env/extravars" in path for path in paths_seen), "nobody watched ansible-runner"
    assert any("/ansible/artifacts/" in path for path in paths_seen), "nor what it keeps of its run"
    assert any("/.ansible/tmp/" in path for path in paths_seen), "nor Ansible on the hypervisor"
    waiting = {path for path in paths_seen if "/var/lib/mgmt-harness/tokens/" in path}
    assert waiting, "nor what waited there"
    holders = {path for path, _, content in run.seen.files if told(run.secrets, [content.decode(errors="replace")])}
    assert holders <= waiting
    assert too_open(run.secrets, run.seen.files) == []


def test_no_report_journal_or_copy_keeps_one(run: Run) -> None:
    kept = list(files_below([run.site.folder]))
    assert {".json", ".html", ".junit"} <= {Path(path).suffix for path, _, _ in kept}
    assert any("/journal/" in path for path, _, _ in kept)
    assert told(run.secrets, (content.decode(errors="replace") for _, _, content in kept)) == []


@pytest.mark.parametrize("host", ["hv01", "core-rt01"])
def test_no_log_of_a_machine_tells_one(run: Run, host: str) -> None:
    logs = "{ journalctl --no-pager --output=export; cat /var/log/apt/*; dmesg; } 2>/dev/null | tr -cd '[:print:]\\n'"
    said = run.site.inside(f"{logs}; test -n done", host=host)
    assert "systemd" in said
    assert host != "hv01" or "ansible" in said, "the hypervisor's own journal was not read"
    assert told(run.secrets, [said]) == []


def test_no_file_with_one_is_open_to_others(run: Run) -> None:
    inside = [root_of("hv01") / name for name in FOLDERS]
    here = [SECRETS, Path.home() / ".ansible", ROOT / ".state", *TEMPORARY.glob("mgmt-*")]
    found = list(files_below([*inside, *here], OTHER_MACHINES))
    holders = [path for path, _, content in found if told(run.secrets, [content.decode(errors="replace")])]
    assert any(path.endswith("verify.token") for path in holders), "the search finds nothing at all"
    assert too_open(run.secrets, found) == []


def test_nothing_that_passed_stays(run: Run) -> None:
    assert list(TEMPORARY.glob("mgmt-ssh-*/ansible")) == []
    assert list(TEMPORARY.glob("mgmt-password-*")) == []
    assert run.site.inside("ls -A /var/lib/mgmt-harness/tokens /root/.ansible/tmp 2>/dev/null; true").split() == [
        "/root/.ansible/tmp:",
        "/var/lib/mgmt-harness/tokens:",
    ]
