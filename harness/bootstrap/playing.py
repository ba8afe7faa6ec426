"""Run the playbook on the hypervisor through ansible-runner, and tell each step as it happens."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from harness.contract import Contract
from harness.errors import HarnessError
from harness.evidence import hide_secrets
from harness.remote.ssh import Connections, Login

PLAYBOOK = Path(__file__).parent / "playbook"
CHECKOUT = Path(__file__).resolve().parent.parent.parent
# What Ansible needs of the user's environment. The rest stays out of it: ansible-runner writes it down.
_KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TMPDIR", "TZ", "USER")
_KEPT_OF_ANSIBLE = ("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_VAULT_PASSWORD_FILE")
_NOT_RUN = "Command would have run if not in check mode"
_NO_REASON = "non-zero return code"
_GOODBYE = re.compile(r"(?:Shared c|C)onnection to \S+ closed\.")
_DIFF_LINES = 60

Outcome = Literal["begin", "ok", "changed", "drift", "skipped", "failed"]


@dataclass(frozen=True)
class Step:
    """What became of one task, or of one item of it; `drift` is what --check would change."""

    host: str
    role: str
    task: str
    outcome: Outcome
    detail: str  # the item, or what went wrong
    diff: str
    seconds: float


@dataclass(frozen=True)
class HostResult:
    """A host's figures at the end."""

    host: str
    ok: int
    changed: int
    failed: int
    skipped: int


@dataclass(frozen=True)
class Played:
    """A playbook that came to its end, well or not."""

    hosts: tuple[HostResult, ...]
    steps: tuple[Step, ...]  # without those that only began
    stopped: str | None  # Ansible's own words when it did not even begin

    @property
    def drift(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.outcome in {"changed", "drift"})

    @property
    def failure(self) -> Step | None:
        """The step that ended the run; what a rescue mended did not."""
        failed = [step for step in self.steps if step.outcome == "failed"]
        return failed[-1] if failed and any(host.failed for host in self.hosts) else None


Report = Callable[[Step], None]


def play(
    contract: Contract,
    opened: Connections,
    login: Login,
    variables: Mapping[str, Any],
    *,
    check: bool,
    report: Report,
    playbook: Path = PLAYBOOK / "site.yml",
) -> Played:
    """Run the playbook on the site's own inventory. Its private folder lies in that of the connections."""
    private = opened.directory / "ansible"
    private.mkdir(mode=0o700)
    listener = _Listener(report)
    _write_starter(private / "bin")
    with _environment(_settings(opened, private)), _signals_as_before():
        ended = import_module("ansible_runner").run(
            private_data_dir=str(private),
            playbook=str(playbook),
            inventory=str(contract.site_folder.absolute()),
            extravars={**variables, **_connection(login)},
            cmdline="--check --diff" if check else None,
            event_handler=listener.hear,
            settings={"suppress_ansible_output": True, "suppress_output_file": True},
            quiet=True,
        )
    if ended.status == "canceled":
        raise KeyboardInterrupt
    if not listener.hosts and not listener.steps and ended.rc != 0:
        listener.stopped = listener.words() or f"ansible-playbook ended with {ended.rc}"
    return Played(tuple(listener.hosts), tuple(listener.steps), listener.stopped)


def _connection(login: Login) -> dict[str, Any]:
    """Ansible reaches the host by its name in our ssh_config, whatever the inventory says for others."""
    return {
        "ansible_connection": "ssh",
        "ansible_host": login.name,
        "ansible_user": login.user,
        "ansible_port": login.port,
        "ansible_ssh_common_args": "",
        "ansible_ssh_extra_args": "",
        "ansible_become": login.user != "root",
    }


def _settings(opened: Connections, private: Path) -> dict[str, str]:
    master = "-o ControlMaster=auto -o ControlPersist=20"  # named here too: Ansible ends the masters it knows of
    return {
        "ANSIBLE_CONFIG": str(PLAYBOOK / "ansible.cfg"),
        "PATH": f"{private / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_HOME": str(private / "home"),
        "ANSIBLE_LOCAL_TEMP": str(private / "tmp"),
        # The ControlPath is that of our own connections: what let us in lets Ansible in.
        "ANSIBLE_SSH_ARGS": f"-F {shlex.quote(str(opened.config_file))} {master}"
        f" -o {shlex.quote(_control_path(opened))}",
        "ANSIBLE_COLLECTIONS_PATH": collections_path(),
        # The filters are the harness's own functions.
        "PYTHONPATH": str(CHECKOUT),
        "LC_ALL": "C.UTF-8",
    }


def _control_path(opened: Connections) -> str:
    return f'ControlPath="{str(opened.directory).replace("%", "%%")}/%C"'


def collections_path() -> str:
    """Where Ansible looks for collections; not below ANSIBLE_HOME, which is ours for this run."""
    return os.environ.get("ANSIBLE_COLLECTIONS_PATH", "~/.ansible/collections:/usr/share/ansible/collections")


def _write_starter(folder: Path) -> None:
    """An ansible-playbook that ends with us, also when we are killed: two at once would undo each other's work."""
    folder.mkdir()
    starter = folder / "ansible-playbook"
    program = shlex.quote(str(Path(sys.executable).parent / "ansible-playbook"))
    starter.write_text(f'#!/bin/sh\nexec setpriv --pdeathsig KILL {program} "$@"\n')
    starter.chmod(0o700)


@contextmanager
def _environment(said: Mapping[str, str]) -> Iterator[None]:
    """ansible-runner passes on, and writes down, the whole environment: it gets a small one."""
    before = dict(os.environ)
    kept = {name: before[name] for name in (*_KEPT, *_KEPT_OF_ANSIBLE) if name in before}
    os.environ.clear()
    os.environ.update({**kept, **said})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """ansible-runner takes SIGINT and SIGTERM for itself and does not give them back."""
    try:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@dataclass
class _Listener:
    """Turn Ansible's events into steps."""

    report: Report
    steps: list[Step] = field(default_factory=list)
    hosts: list[HostResult] = field(default_factory=list)
    stopped: str | None = None
    _started: float = field(default_factory=time.monotonic)
    _said: list[str] = field(default_factory=list)
    _loops: set[str] = field(default_factory=set)

    def hear(self, event: dict[str, Any]) -> bool:
        kind, data = event.get("event", ""), event.get("event_data") or {}
        if kind == "playbook_on_task_start":
            self.report(self._step(data, "begin"))
        elif kind == "playbook_on_stats":
            self.hosts += [_host_result(host, data) for host in _hosts(data)]
        elif kind in {"runner_on_failed", "runner_on_unreachable", "runner_item_on_failed"}:
            self._failed(kind, data)
        elif kind in {"runner_on_ok", "runner_on_skipped", "runner_item_on_ok", "runner_item_on_skipped"}:
            self._ended(kind, data)
        elif kind in {"verbose", "warning", "error"}:
            self._said.append(event.get("stdout") or "")
        return False  # keep no file of the event

    def words(self) -> str:
        """What Ansible says when it cannot begin."""
        lines = [line.strip() for text in self._said for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("[ERROR]", "ERROR!"))]
        return hide_secrets(" ".join(errors or lines[-2:]))

    def _ended(self, kind: str, data: Mapping[str, Any]) -> None:
        result = data.get("res") or {}
        if self._items_told(kind, data):
            return
        outcome: Outcome = "changed" if result.get("changed") else "ok"
        if kind.endswith("skipped"):
            outcome = "drift" if _would_run(kind, result) else "skipped"
        self._keep(self._step(data, outcome, detail=_item(result), diff=_diff(result.get("diff"))))

    def _failed(self, kind: str, data: Mapping[str, Any]) -> None:
        result = data.get("res") or {}
        if data.get("ignore_errors") or self._items_told(kind, data):
            return
        item, words = _item(result), words_of(result)
        self._keep(self._step(data, "failed", detail=f"{item}: {words}" if item else words))

    def _items_told(self, kind: str, data: Mapping[str, Any]) -> bool:
        """A loop ends with an event of its own, after those of its items."""
        task = str(data.get("task_uuid"))
        if kind.startswith("runner_item_"):
            self._loops.add(task)
            return False
        return task in self._loops

    def _keep(self, step: Step) -> None:
        self.steps.append(step)
        self.report(step)

    def _step(self, data: Mapping[str, Any], outcome: Outcome, *, detail: str = "", diff: str = "") -> Step:
        return Step(
            host=str(data.get("host", "")),
            role=str(data.get("role", "")),
            task=str(data.get("task", "")),
            outcome=outcome,
            detail=hide_secrets(detail),
            diff=hide_secrets(diff),
            seconds=time.monotonic() - self._started,
        )


def _item(result: Mapping[str, Any]) -> str:
    label = result.get("_ansible_item_label")
    return str(label) if isinstance(label, str) else ""


def _would_run(kind: str, result: Mapping[str, Any]) -> bool:
    """A command that --check kept back: `command` says so, an item of `raw` has none of the reasons not to be due."""
    if result.get("msg"):
        return str(result["msg"]).startswith(_NOT_RUN)
    return kind.startswith("runner_item_") and not {"skip_reason", "false_condition"} & result.keys()


def words_of(result: Mapping[str, Any]) -> str:
    """What a failed task said, in one line: apt's error lines, or the last words, or Ansible's message."""
    told = _words(result, "stderr")
    if not told and result.get("msg") == _NO_REASON:  # `raw` has a terminal, where both streams are one
        told = _words(result, "stdout")
    chosen = [line.removeprefix("E: ") for line in told if line.startswith("E:")] or told[-2:]
    return " ".join(chosen) or " ".join(str(result.get("msg") or "no reason given").split())


def _words(result: Mapping[str, Any], stream: str) -> list[str]:
    """The lines of one stream, without what ssh says when a terminal's connection is over."""
    lines = (line.strip() for line in str(result.get(stream) or "").splitlines())
    return [line for line in lines if line and not _GOODBYE.fullmatch(line)]


def _hosts(stats: Mapping[str, Any]) -> list[str]:
    kinds = ("ok", "changed", "failures", "dark", "skipped", "processed")
    return sorted({host for kind in kinds for host in stats.get(kind) or {}})


def _host_result(host: str, stats: Mapping[str, Any]) -> HostResult:
    def count(kind: str) -> int:
        return int((stats.get(kind) or {}).get(host, 0))

    return HostResult(host, count("ok"), count("changed"), count("failures") + count("dark"), count("skipped"))


def _diff(said: Any) -> str:
    """Ansible's before and after as a unified diff."""
    parts = said if isinstance(said, list) else [said] if said else []
    lines = [line for part in parts for line in _diff_lines(part)]
    cut = [f"… {len(lines) - _DIFF_LINES} more lines"] if len(lines) > _DIFF_LINES else []
    return "\n".join(lines[:_DIFF_LINES] + cut)


def _diff_lines(part: Mapping[str, Any]) -> list[str]:
    if part.get("prepared"):
        return str(part["prepared"]).splitlines()
    before, after = part.get("before"), part.get("after")
    if not isinstance(before, str) or not isinstance(after, str):
        return [
            f"{key}: {value!r} -> {(after or {}).get(key)!r}" for key, value in (before or {}).items() if key != "path"
        ]
    header = str(part.get("after_header") or part.get("before_header") or "")
    name = header.replace(" (content)", "")
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=1))


# What to look at before the next run.
HINTS = {
    "repositories": "Look at the package repository",
    "version": "Look at apt on the hypervisor (apt-get check)",
    "time": "Look at systemctl status chrony on the hypervisor",
    "ssh": "Look at /etc/ssh on the hypervisor (sshd -T)",
    "bridge": "Correct mgmt_hypervisor.bridges or the cabling",
}


def failure_of(contract: Contract, played: Played) -> HarnessError | None:
    """Why the playbook did not come to its end, as one sentence."""
    name, step = contract.hypervisor.name, played.failure
    if played.stopped is not None:
        return HarnessError(
            tried="start the playbook", on=name, happened=played.stopped, do="Mend what Ansible says, then try again"
        )
    if step is None:
        return None
    task = step.task[:1].lower() + step.task[1:]
    look = HINTS.get(step.role, "Mend what it says on the hypervisor")
    do = f"{look}, then run {contract.invoke('bootstrap')} again"
    where = f" (role {step.role})" if step.role else ""
    return HarnessError(tried=task, on=f"{step.host}{where}", happened=step.detail, do=do)
