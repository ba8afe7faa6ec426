"""The ways people go today: Ansible with community.proxmox, testinfra over ssh, serverspec; each at its best."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from benchmarks.place import ROOT, Place, run_program
from benchmarks.turns import Contender
from harness import lab
from harness.contract import SecretRef
from harness.remote import personalise, ssh

HERE = Path(__file__).parent
VENV = ROOT / ".venv-benchmarks"
REQUIREMENTS = HERE / "ansible/requirements.txt"
HOW_TO_INSTALL = f"python3 -m venv {VENV.name} && {VENV.name}/bin/pip install -r {REQUIREMENTS.relative_to(ROOT)}"
ASSERT = "ansible.builtin.assert"
_JUDGED = re.compile(r'"msg": "(?:All assertions passed|Assertion failed)"')
ANSIBLE = ("ansible", "ansible-provision", "ansible-provision-again")


@dataclass(frozen=True)
class Files:
    """What the other tools read: the ssh configs with and without a shared connection, and what is expected."""

    shared: Path
    single: Path
    expected: Path


def left_out() -> Iterator[tuple[str, str]]:
    """Contenders whose programs are not here, each with what brings them."""
    if not (VENV / "bin/ansible-playbook").exists():
        yield from ((name, f"not installed: {HOW_TO_INSTALL}") for name in ANSIBLE)
    if shutil.which("rspec") is None or shutil.which("ruby") is None or not _has_serverspec():
        yield "serverspec", "not installed: apt-get install -y ruby-serverspec"


def testinfra_contenders(place: Place, files: Files) -> Iterator[Contender]:
    for name, config in (("testinfra", files.shared), ("testinfra-single", files.single)):
        how = "with" if config == files.shared else "without"
        yield Contender(
            name,
            f"testinfra over ssh, {how} a control path",
            run=lambda config=config: _testinfra(files, config),  # type: ignore[misc]  # bound now, not when it runs
            prepare=lambda: _hang_up(place, files),
            count_checks=lambda said: sum(map(int, re.findall(r"(\d+) (?:passed|xfailed|xpassed)", said))),
        )


def serverspec_contender(place: Place, files: Files) -> Contender:
    seen = place.folder / "seen"

    def prepare() -> None:
        shutil.rmtree(seen, ignore_errors=True)
        seen.mkdir()

    environment = {
        "EXPECTED": str(files.expected),
        "SSH_CONFIG": str(files.single),
        "SEEN": str(seen),
        "KNOWN_HOSTS": ":".join(map(str, _known_hosts(place))),
    }
    return Contender(
        "serverspec",
        "serverspec, one process per host",
        run=lambda: run_program(["ruby", str(HERE / "serverspec/run.rb")], environment),
        prepare=prepare,
        count_checks=lambda said: sum(int(count) for count in re.findall(r"(\d+) examples, 0 failures", said)),
    )


def play(place: Place, files: Files, name: str) -> str:
    """Run a playbook; Failed when any of its tasks did."""
    folder = place.folder / "ansible"
    folder.mkdir(exist_ok=True)
    (folder / "known").mkdir(exist_ok=True)
    inventory, variables = folder / "inventory.json", folder / "variables.json"
    expected = json.loads(files.expected.read_text())
    inventory.write_text(json.dumps(_inventory(place, expected)))
    variables.write_text(json.dumps({**expected, **_door(place), **_ways(folder)}))
    provisions = name.startswith("provision")
    environment = {
        "ANSIBLE_CONFIG": str(HERE / "ansible/ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(place.folder / "cp"),
        "ANSIBLE_SSH_ARGS": _ssh_arguments(files, folder, provisions=provisions),
    }
    if api_ca := _door(place)["ca_file"]:
        environment["REQUESTS_CA_BUNDLE"] = api_ca
    playbook = [str(VENV / "bin/ansible-playbook"), "-i", str(inventory), "-e", f"@{variables}"]
    return run_program([*playbook, str(HERE / f"ansible/{name}.yml")], environment)


def count_asserts(said: str) -> int:
    """Conditions that were judged, each for every host and item; a run ends at one that is not waived and not true."""
    conditions = {task["name"]: len(as_list(task[ASSERT]["that"])) for task in ansible_tasks() if ASSERT in task}
    told = (section.partition("]") for section in re.split(r"^TASK \[", said, flags=re.M)[1:])
    return sum(conditions.get(name, 0) * len(_JUDGED.findall(text)) for name, _, text in told)


def ansible_tasks() -> list[dict[str, Any]]:
    """Those that look at the site, of all plays."""
    plays = [
        play for file in sorted((HERE / "ansible").glob("verify_*.yml")) for play in yaml.safe_load(file.read_text())
    ]
    return [task for play in plays for task in play["tasks"]]


def as_list(said: str | list[str]) -> list[str]:
    return [said] if isinstance(said, str) else said


def _testinfra(files: Files, config: Path) -> str:
    folder = HERE / "testinfra_specs"
    quiet = ["-q", "-p", "no:cacheprovider", "-c", "/dev/null", f"--rootdir={ROOT}"]
    asked = [str(ROOT / ".venv/bin/python"), "-m", "pytest", *quiet, f"--ssh-config={config}", str(folder)]
    return run_program(asked, {"EXPECTED": str(files.expected)})


def _hang_up(place: Place, files: Files) -> None:
    """No connection of an earlier run is left to share."""
    names = [place.contract.hypervisor.name, place.contract.router.name, *(one.name for one in place.contract.guests)]
    for name in names:
        argv = ["ssh", "-F", str(files.shared), "-O", "exit", name]
        subprocess.run(argv, capture_output=True, check=False)


def _inventory(place: Place, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Hosts under the names that the ssh config knows."""
    contract = place.contract
    guests = {guest["name"]: {"vm": guest} for guest in expected["guests"]}
    return {
        "all": {
            "children": {
                "hypervisors": {"hosts": {contract.hypervisor.name: {}}},
                "routers": {"hosts": {contract.router.name: {}}},
                "management_vms": {"hosts": guests},
            }
        }
    }


def _door(place: Place) -> dict[str, Any]:
    """The API as community.proxmox takes it."""
    api = place.contract.hypervisor.api
    where = urlsplit(api.url)
    there = lab.status().api if place.in_lab else None
    ca_file = there.ca_file if there else str(api.ca_file) if api.ca_file else None
    told: dict[str, Any] = {
        "api_host": where.hostname,
        "api_port": where.port or 8006,
        "ca_file": ca_file,
        # A tool that cannot pin a fingerprint has nothing to check it by.
        "validate_certs": ca_file is not None,
    }
    if there:
        told |= {"root_user": there.root_user, "root_password_file": there.root_password_file}
    for purpose, token in api.tokens.items():
        user, _, name = token.id.partition("!")
        secret = token.secret.value if isinstance(token.secret, SecretRef) and token.secret.kind == "file" else ""
        told |= {f"{purpose}_user": user, f"{purpose}_token": name, f"{purpose}_secret_file": str(secret)}
    return told


def _ways(folder: Path) -> dict[str, str]:
    return {"identity_script": str(personalise.SCRIPT), "known_hosts_folder": str(folder / "known")}


def _ssh_arguments(files: Files, folder: Path, *, provisions: bool) -> str:
    """Shared connections, as Ansible has them by default; what it provisions it must trust at first sight."""
    first = f"-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={folder}/known/%n" if provisions else ""
    return f"-F {files.single} -o ControlMaster=auto -o ControlPersist=60s {first}".strip()


def _known_hosts(place: Place) -> list[Path]:
    logins = ssh.site_logins(place.contract)
    return list(dict.fromkeys(file for login in logins for file in login.known_hosts))


def _has_serverspec() -> bool:
    done = subprocess.run(["ruby", "-e", "require 'serverspec'"], capture_output=True, check=False)
    return done.returncode == 0
