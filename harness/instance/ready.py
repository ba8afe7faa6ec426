"""Wait until a nested Proxmox VM answers as itself: SSH with the host key of its installation, then its pinned API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.bootstrap.tokens import pin_certificate
from harness.contract import Contract, SecretRef
from harness.errors import HarnessError, Invalid, TimedOut, Untrusted
from harness.lab import running
from harness.nested.serial import SerialLog, find_failure
from harness.pve.client import connect
from harness.pve.read import read_version
from harness.remote import ssh
from harness.secrets import read_secret
from harness.wait import wait_until

READY_S = 240.0  # with KVM; the first boot of an installed PVE makes its keys and certificates
COMMAND_S = 30.0


@dataclass(frozen=True)
class Ready:
    """What the API and SSH told: PVE's version, and the fingerprint of the certificate the API shows."""

    version: str
    fingerprint: str
    seconds: float


class Gone(HarnessError):
    """The machine is not there any more, or has said that it cannot go on."""


def wait_ready(
    contract: Contract, machine: Path, serial: Path, *, patience: float, say: Callable[[str], None]
) -> Ready:
    """`machine` is the folder of the QEMU process, `serial` the console's log; `patience` multiplies the limit."""
    log, seen = SerialLog(serial), _Seen("nothing on its console yet")
    login = ssh.hypervisor_login(contract)
    deadline_s = READY_S * patience
    with ssh.connections([login]) as opened:

        def look() -> tuple[Ready | None, str]:
            _require_alive(contract, machine, log, seen)
            try:
                return _ask(contract, opened, say, seen, patience), seen.text
            except (Gone, Invalid, Untrusted):
                raise
            # Refused as well: the keys lie in /etc/pve, which is there when pve-cluster has started.
            except HarnessError as error:
                ssh.hang_up(opened, login.name)
                seen.wait_for(f"{error.tried}: {error.happened}", say)
                return None, f"{seen.text}; {error.happened}"

        waited = wait_until(look, deadline_s=deadline_s, first_pause_s=0.5, longest_pause_s=2.0)
    if waited.value is None:
        raise TimedOut(
            tried="wait for the nested VM",
            on=_named(contract),
            happened=f"its API does not answer after {waited.seconds:.0f} s: {waited.last_seen}",
            do=f"Read its console: {serial}",
        )
    return replace(waited.value, seconds=waited.seconds)


@dataclass
class _Seen:
    """How far it has come, for the sentence at the end of our patience."""

    text: str
    reached: str = ""
    trouble: str = ""

    def wait_for(self, trouble: str, say: Callable[[str], None]) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            say(f"not yet: {trouble}")

    def reach(self, stage: str, say: Callable[[str], None]) -> None:
        if stage != self.reached:
            self.reached = stage
            say(stage)


def _require_alive(contract: Contract, machine: Path, log: SerialLog, seen: _Seen) -> None:
    lines = log.read()
    if lines:
        seen.text = f"its console says {lines[-1].strip()[-120:]!r}"
    failure = next(filter(None, map(find_failure, lines)), None)
    if failure is not None:
        raise Gone(
            tried="boot the nested VM",
            on=_named(contract),
            happened=f"its console says {failure!r}",
            do=_advice(contract, log),
        )
    if running(machine) is None:
        said = (machine / "console.log").read_text(errors="replace").strip().splitlines()
        why = said[-1] if said else "it said nothing; the machine was powered off or killed"
        raise Gone(
            tried="boot the nested VM",
            on=_named(contract),
            happened=f"QEMU has ended: {why}; {seen.text}",
            do=_advice(contract, log),
        )


def _advice(contract: Contract, log: SerialLog) -> str:
    return f"Read its console: {log.path}; then start it anew: {contract.invoke('nested.up')}"


def _ask(
    contract: Contract, opened: ssh.Connections, say: Callable[[str], None], seen: _Seen, patience: float
) -> Ready:
    """One attempt: each step needs the one before it."""
    name = contract.hypervisor.name
    ssh.run(opened, name, "true", timeout_s=COMMAND_S * patience)
    seen.reach(f"{name} lets us in by SSH, with the host key of its installation", say)

    def run(script: str) -> ssh.Result:
        return ssh.run(opened, name, script, timeout_s=COMMAND_S * patience)

    for sentence in pin_certificate(contract, run):
        say(sentence)
    fingerprint = _pinned(contract)
    password = contract.hypervisor.ssh.password
    if password is None:
        return Ready("not asked: the inventory has no password", fingerprint, 0.0)
    secret = read_secret(password, base=contract.site_folder)
    api = connect(contract.hypervisor.api, purpose="root", secret=secret, read_only=True, fingerprint=fingerprint)
    return Ready(read_version(api), fingerprint, 0.0)


def _pinned(contract: Contract) -> str:
    declared = contract.hypervisor.api.fingerprint
    if isinstance(declared, SecretRef):
        return read_secret(declared, base=contract.site_folder).reveal().strip()
    return declared or ""


def _named(contract: Contract) -> str:
    return f"{contract.hypervisor.name} (site {contract.site})"
