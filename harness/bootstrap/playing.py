"""Run the playbook on the hypervisor through ansible-runner, and tell each step as it happens."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.bootstrap.listening import HostResult, Listener, Report, Step
from harness.contract import Contract
from harness.errors import HarnessError
from harness.remote.ssh import Connections, Login

PLAYBOOK = Path(__file__).parent / "playbook"
CHECKOUT = Path(__file__).resolve().parent.parent.parent
# What Ansible needs of the user's environment. The rest stays out of it: ansible-runner writes it down.
_KEPT = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "TMPDIR", "TZ", "USER")
_KEPT_OF_ANSIBLE = ("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_VAULT_PASSWORD_FILE")


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
    listener = Listener(report)
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
