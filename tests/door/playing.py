"""Run Ansible as a user does, and read what it says of each host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PLAYBOOK = "harness/ansible/provision.yml"
COMMAND = str(Path(sys.executable).parent / "ansible-playbook")


@dataclass(frozen=True)
class Played:
    """How ansible-playbook ended; `counts` are the figures of its recap, by host."""

    status: int
    said: str
    counts: dict[str, dict[str, int]]

    def of_all(self, figure: str) -> dict[str, int]:
        """One figure, for the hosts where it is not 0."""
        return {host: counts[figure] for host, counts in self.counts.items() if counts[figure]}

    def diff_of(self, host: str) -> str:
        """The diff that is headed by the host's name."""
        return self.said.partition(f"--- before: {host} ")[2].partition("\n\n")[0]

    @property
    def results(self) -> dict[str, dict[str, Any]]:
        """What the module returned for each host: of those that failed, and with -v of all."""
        found = re.findall(r"^(?:ok|changed|fatal): \[(\S+)\](?:: FAILED!)? => (\{.*\})$", self.said, re.MULTILINE)
        return {host: json.loads(result) for host, result in found}

    @property
    def sentences(self) -> set[str]:
        """Why hosts failed, each sentence once."""
        return {self.results[host]["msg"] for host in self.of_all("failed")}


def argv(site: Path, *arguments: str, playbook: str | Path = PLAYBOOK) -> list[str]:
    return [COMMAND, "-i", str(site), str(playbook), *arguments]


def environment(state: Path, **more: str) -> dict[str, str]:
    """Nothing of the caller's own Ansible, and a state folder of the test's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ours = {"ANSIBLE_HOME": str(state / "ansible"), "ANSIBLE_NOCOLOR": "1", "MGMT_HARNESS_STATE": str(state)}
    return {**kept, **ours, **more}


def play(
    site: Path, state: Path, *arguments: str, playbook: str | Path = PLAYBOOK, cwd: Path = ROOT, **more: str
) -> Played:
    ended = subprocess.run(
        argv(site, *arguments, playbook=playbook),
        cwd=cwd,
        env=environment(state, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    return read(ended.returncode, ended.stdout + ended.stderr)


def read(status: int, said: str) -> Played:
    recap = re.findall(r"^(\S+) +: (ok=.*)$", said, re.MULTILINE)
    counts = {host: {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", line)} for host, line in recap}
    return Played(status, said, counts)
