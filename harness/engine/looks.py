"""How the engine meets a guest outside PVE's API: on the wire, over SSH, and in the file of pinned host keys."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness import probe
from harness.contract import Contract, Guest
from harness.errors import HarnessError
from harness.head_start import PROBE_LIMIT_S, hold_on_hypervisor, holder_of, is_pinned
from harness.remote import known_hosts, personalise, ssh
from harness.remote.known_hosts import HostKey

SCRIPT_LIMIT_S = 60.0


@dataclass(frozen=True)
class GuestLooks:
    """Each look raises Unreachable when nobody answers."""

    answers: Callable[[Guest], str | None]  # who already has the guest's address
    banner: Callable[[Guest], str]
    host_keys: Callable[[Guest, Set[str]], frozenset[HostKey]]  # of these types, or of all when none is named
    script: Callable[[Guest], str]
    run_by_ssh: Callable[[Guest, frozenset[HostKey], str], str]  # trusting exactly these keys; the script's output
    pin: Callable[[Guest, frozenset[HostKey]], None]
    is_pinned: Callable[[Guest], bool]
    awaits: Callable[[Guest], AbstractContextManager[None]] = lambda _: nullcontext()  # it comes up at its address
    lease: Callable[[Guest], str | None] | None = None  # the address the router has leased to the guest's MAC
    as_root: Callable[[str], str] | None = None  # runs a command as root on the hypervisor; its output
    hold: Callable[[str], AbstractContextManager[str]] | None = None  # the same, until it is left; its first line


def real_looks(contract: Contract, lease: Callable[[Guest], str | None] | None = None) -> GuestLooks:
    learned = contract.state_dir / "known_hosts"
    return GuestLooks(
        answers=holder_of,
        banner=lambda guest: probe.ssh_banner(_address(guest), guest.ssh.port, PROBE_LIMIT_S),
        host_keys=lambda guest, types: frozenset(
            known_hosts.parse_key(key) for key in probe.ssh_host_keys(_address(guest), guest.ssh.port, types=types)
        ),
        script=lambda guest: personalise.render_script(hostname=guest.name, fqdn=guest.fqdn),
        run_by_ssh=lambda guest, keys, script: _run_by_ssh(contract, guest, keys, script),
        pin=lambda guest, keys: _pin(learned, guest, keys),
        is_pinned=partial(is_pinned, contract),
        awaits=lambda guest: probe.awaiting(_address(guest)),
        lease=lease,
        as_root=lambda command: _as_root(contract, command),
        hold=partial(hold_on_hypervisor, contract),
    )


def _as_root(contract: Contract, command: str) -> str:
    login = ssh.hypervisor_login(contract)
    with ssh.connections([login]) as opened:
        ended = ssh.run(opened, login.name, command, timeout_s=SCRIPT_LIMIT_S)
    if not ended.succeeded:
        raise HarnessError(
            tried=f"run `{command}` as root",
            on=login.name,
            happened=f"it ended with {ended.rc}: {' '.join(ended.stderr.split()[-20:])}",
            do="Look at the node, then run the same command again",
        )
    return ended.stdout


def _run_by_ssh(contract: Contract, guest: Guest, keys: frozenset[HostKey], script: str) -> str:
    """The template's host key is known to every clone: it is trusted for this one conversation and pinned nowhere."""
    with tempfile.TemporaryDirectory(prefix="mgmt-first-contact-") as folder:
        trusted = Path(folder) / "known_hosts"
        known_hosts.pin(trusted, guest.name, None, keys)
        login = replace(ssh.guest_login(contract, guest), known_hosts=(trusted,))
        with ssh.connections([login]) as opened:
            ended = ssh.run(opened, guest.name, "sudo -n sh -s", stdin=script, timeout_s=SCRIPT_LIMIT_S)
    if not ended.succeeded:
        raise HarnessError(
            tried="give the clone its own identity over SSH",
            on=guest.name,
            happened=f"the script ended with {ended.rc}: {' '.join(ended.stderr.split()[-20:])}",
            do=f"Let {guest.ssh.user} use sudo without a password in the template, then run the same command again",
        )
    return ended.stdout


def _pin(learned: Path, guest: Guest, keys: frozenset[HostKey]) -> None:
    known_hosts.pin(learned, guest.name, _address(guest), keys)


def _address(guest: Guest) -> str:
    return str(guest.nic.address.ip)
