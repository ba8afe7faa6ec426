"""Count what a run cost, at the servers: API calls at the hypervisor, logins and commands at every sshd."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.critical_path import CriticalPath, read_critical_path
from benchmarks.results import Cost
from harness import lab
from harness.errors import HarnessError
from harness.remote.ssh import Connections

# Whatever machine-id the journal was written under: a clone gets its own one while it runs.
_JOURNAL = "journalctl --merge --no-pager --quiet --identifier=sshd --identifier=sshd-session"
_CURSOR = f"{_JOURNAL} --lines=0 --show-cursor"
_ACCESS_LOG = "/var/log/pveproxy/access.log"
# What sshd says; commands only where its LogLevel is VERBOSE, as in the lab.
LOGIN = re.compile(r"Accepted \S+ for \S+ from \S+ port (\d+)")
COMMAND = re.compile(r"Starting session: \S+ .*from \S+ port (\d+)")


@dataclass
class ServerCounts:
    """The counts of a site's servers between `start` and `read`; its own looks are not counted."""

    opened: Connections
    hypervisor: str
    vmids: Sequence[int]
    in_lab: bool
    _cursors: dict[str, str] = field(default_factory=dict)
    _own_ports: set[tuple[str, int]] = field(default_factory=set)
    _access_lines: int | None = None

    def start(self) -> None:
        said = self._ask_all({name: f"{self._root(name)}{_CURSOR}" for name in self.opened.logins})
        self._cursors = {name: found[1] for name, text in said.items() if (found := re.search(r"cursor: (.+)", text))}
        if self.in_lab:
            lab.control({"op": "reset-counters"})
        else:
            self._access_lines = self._count_access()

    def read(self) -> Cost:
        calls, writes = self._api()
        told = self._ask_all({name: f"{self._root(name)}{_JOURNAL} {self._since(name)}" for name in self.opened.logins})
        logins = count_foreign(LOGIN, told, self._own_ports)
        commands = count_foreign(COMMAND, told, self._own_ports)
        return Cost(calls, writes, logins, commands if self.in_lab or commands else None)

    def read_path(self) -> CriticalPath | None:
        """The simulator's clock: PVE's own task list tells whole seconds, which is too coarse for the lab."""
        return read_critical_path(self.hypervisor, self.vmids) if self.in_lab else None

    def _root(self, name: str) -> str:
        return "" if self.opened.logins[name].user == "root" else "sudo -n "

    def _since(self, name: str) -> str:
        """A host that was not there at the start has said everything since then."""
        return f"--after-cursor={shlex.quote(self._cursors[name])}" if name in self._cursors else ""

    def _api(self) -> tuple[int | None, int | None]:
        if self.in_lab:
            counted: dict[str, Any] = lab.control({"op": "counters"})["result"]
            return sum(counted["calls"].values()), int(counted["writes"])
        before, now = self._access_lines, self._count_access()
        return (now - before if before is not None and now is not None and now >= before else None), None

    def _count_access(self) -> int | None:
        """None where its log was turned over meanwhile, or cannot be read."""
        said = self._ask_all({self.hypervisor: f"{self._root(self.hypervisor)}wc -l {_ACCESS_LOG}"})
        found = re.search(rf"^(\d+) {_ACCESS_LOG}", said.get(self.hypervisor, ""), re.M)
        return int(found[1]) if found else None

    def _ask_all(self, commands: Mapping[str, str]) -> dict[str, str]:
        """What each host answers, over a login of its own whose port we then know; a host that is not there is left
        out."""
        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda one: (one[0], self._ask(*one)), commands.items())
        return {name: text for name, text in answers if text is not None}

    def _ask(self, name: str, command: str) -> str | None:
        if (argv := self._login(name)) is None:
            return None
        asked = [*argv, f"echo own-port $SSH_CONNECTION; {command}"]
        ended = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        found = re.search(r"^own-port \S+ (\d+)", ended.stdout, re.M)
        if found is None:
            return None
        self._own_ports.add((name, int(found[1])))
        return ended.stdout

    def _login(self, name: str) -> list[str] | None:
        """In the lab by what it knows of itself: whoever makes VMs learns their host keys in its own way, or not."""
        if not self.in_lab:
            return ["ssh", "-T", "-F", str(self.opened.config_file), "-S", "none", name]
        try:
            return lab.ssh_command(name)
        except HarnessError:
            return None  # it is not there now


def count_foreign(pattern: re.Pattern[str], told: Mapping[str, str], own: Set[tuple[str, int]]) -> int:
    """How often the hosts told of it, but for what came from our own ports."""
    found = ((name, int(port)) for name, text in told.items() for port in pattern.findall(text))
    return sum(one not in own for one in found)


def plain_config(opened: Connections, folder: Path, *, control_path: bool) -> Path:
    """The ssh config of a site's logins for another program, with a shared connection per host or without."""
    lines: Iterable[str] = opened.config_file.read_text().splitlines()
    if not control_path:
        lines = [line for line in lines if not line.strip().startswith("Control")]
    file = folder / f"ssh-{'shared' if control_path else 'single'}.conf"
    file.write_text("\n".join(lines) + "\n")
    return file
