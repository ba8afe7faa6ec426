"""The logins of a site, and the ssh_config that trusts pinned host keys only and offers keys only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import errors
from harness.contract import Contract, Guest, Ssh

CONNECT_TIMEOUT_S = 5
# Masters of a run that was killed end by themselves this long after their last command.
CONTROL_PERSIST_S = 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_ADDRESS = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:_-]*")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")


@dataclass(frozen=True)
class Login:
    """How to reach one host; `name` is what its key is pinned under."""

    name: str
    address: str
    port: int
    user: str
    identity_file: Path | None
    known_hosts: tuple[Path, ...]


def guest_login(contract: Contract, guest: Guest) -> Login:
    """The automation user's login of a guest, at its declared address."""
    return _login(contract, guest.name, str(guest.nic.address.ip), guest.ssh)


def hypervisor_login(contract: Contract) -> Login:
    return _login(contract, contract.hypervisor.name, str(contract.hypervisor.address), contract.hypervisor.ssh)


def router_login(contract: Contract) -> Login:
    """The core router's login; Refused when the inventory gives none."""
    router = contract.router
    if router.ssh is None:
        raise errors.Refused(
            tried="log in",
            on=router.name,
            happened="the inventory has no ssh login for it",
            do=f"Add mgmt_router.ssh to the host's variables ({router.declared})",
        )
    return _login(contract, router.name, str(router.address), router.ssh)


def site_logins(contract: Contract) -> tuple[Login, ...]:
    """Every login the inventory gives: the hypervisor, the guests, and the router where it has one."""
    routers = (router_login(contract),) if contract.router.ssh else ()
    guests = tuple(guest_login(contract, guest) for guest in contract.guests)
    return (hypervisor_login(contract), *routers, *guests)


def _login(contract: Contract, name: str, address: str, ssh: Ssh) -> Login:
    own = (ssh.known_hosts,) if ssh.known_hosts and ssh.known_hosts not in contract.known_hosts else ()
    return Login(name, address, ssh.port, ssh.user, ssh.identity_file, (*own, *contract.known_hosts))


def render_ssh_config(logins: Iterable[Login], control_dir: Path) -> str:
    """An ssh_config that trusts pinned host keys only, offers keys only and shares one connection per host."""
    hosts = [_render_host(login) for login in logins]
    return "\n".join([*hosts, _render_common(control_dir)])


def _render_host(login: Login) -> str:
    _check(login)
    lines = [
        f"Host {login.name}",
        f"HostName {login.address}",
        # The key belongs to the name, whatever address or port it is reached at.
        f"HostKeyAlias {login.name}",
        f"Port {login.port}",
        f"User {login.user}",
        f"UserKnownHostsFile {' '.join(_quoted(path) for path in login.known_hosts) or 'none'}",
    ]
    if login.identity_file:
        lines += [f"IdentityFile {_quoted(login.identity_file)}", "IdentitiesOnly yes"]
    return "\n    ".join(lines) + "\n"


def _render_common(control_dir: Path) -> str:
    return (
        "\n    ".join(
            [
                "Host *",
                "StrictHostKeyChecking yes",
                "GlobalKnownHostsFile none",
                "UpdateHostKeys no",
                "BatchMode yes",
                "PreferredAuthentications publickey",
                "ForwardAgent no",
                "ForwardX11 no",
                "ClearAllForwardings yes",
                f"ConnectTimeout {CONNECT_TIMEOUT_S}",
                "ServerAliveInterval 5",
                "ServerAliveCountMax 2",
                "ControlMaster auto",
                f'ControlPath {_quoted(control_dir)[:-1]}/%C"',
                f"ControlPersist {CONTROL_PERSIST_S}",
            ]
        )
        + "\n"
    )


def _quoted(path: Path) -> str:
    """A path as ssh_config takes it: quoted, with its own percent signs doubled."""
    text = str(path)
    if '"' in text or "\n" in text:
        raise _wrong(f"the path {text!r}", "has a quote or a line break in it, which ssh cannot take")
    return '"' + text.replace("%", "%%") + '"'


def _check(login: Login) -> None:
    for value, grammar in ((login.name, _NAME), (login.address, _ADDRESS), (login.user, _USER)):
        if not grammar.fullmatch(value):
            raise _wrong(f"the login of {login.name!r}", f"{value!r} is no name, address or user that ssh can take")


def _wrong(what: str, why: str) -> errors.Invalid:
    return errors.Invalid(tried="write the ssh config", on=what, happened=why, do="Correct it in the inventory")
