"""Give specs a testinfra host whose every command is recorded, limited in time and honest about failures."""

from __future__ import annotations

import shlex
from typing import Any, Protocol

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from harness import errors
from harness.evidence import Evidence
from harness.remote.ssh import Connections, Result, run


class Runner(Protocol):
    """A function from command to Result; `stdin` is what the command reads, and is not recorded."""

    def __call__(self, command: str, *, stdin: str | None = None) -> Result: ...


def open_host(
    opened: Connections, name: str, *, evidence: Evidence, source: str, timeout_s: float = 20.0, sudo: bool = False
) -> Host:
    """A testinfra host over the shared connection of `name`; `source` is host, guest or router.

    Made without testinfra.get_host: that one caches hosts, and what they found out, for the life of the process.
    """
    return make_host(runner(opened, name, evidence=evidence, source=source, timeout_s=timeout_s), name, sudo=sudo)


def make_host(ask: Runner, name: str, *, sudo: bool = False) -> Host:
    """A testinfra host whose commands `ask` answers."""
    backend = _RecordedSsh(ask, name, sudo)
    host = Host(backend)
    backend.set_host(host)
    return host


def runner(
    opened: Connections, name: str, *, evidence: Evidence, source: str, timeout_s: float = 20.0, sudo: bool = False
) -> Runner:
    """The same recording for those who want answers only."""

    def recorded(command: str, *, stdin: str | None = None) -> Result:
        asked = f"{name}: {command}"
        try:
            result = run(opened, name, as_root(command) if sudo else command, stdin=stdin, timeout_s=timeout_s)
        except errors.HarnessError as failure:
            evidence.record(source, asked, f"no answer: {failure}")
            raise
        evidence.record(source, asked, show_result(result))
        return result

    return recorded


def as_root(command: str, user: str = "root") -> str:
    """Without -n, a sudo that wants a password would wait for one that nobody types."""
    return f"sudo -n -u {shlex.quote(user)} /bin/sh -c {shlex.quote(command)}"


def show_result(result: Result) -> str:
    """Exit status and what was said, as evidence."""
    parts = [f"rc {result.rc}", result.stdout.strip(), result.stderr.strip()]
    return "\n".join(part for part in parts if part)


class _RecordedSsh(BaseBackend):  # type: ignore[misc]  # testinfra is shipped without types
    """testinfra's way to a host, over `harness.remote.ssh.run`: a status of 255 is the command's own here."""

    NAME = "ssh"

    def __init__(self, ask: Runner, name: str, sudo: bool) -> None:
        super().__init__(name, sudo=sudo)
        self._ask = ask
        # Results are decoded already; without this, testinfra asks the host for its locale with one more command.
        self._encoding = "utf-8"

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        full = self.get_command(command, *args)
        result = self._ask(full)
        return self.result(result.rc, full.encode(), result.stdout, result.stderr)

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        return as_root(command, sudo_user or "root")
