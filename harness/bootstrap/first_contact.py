"""Come to the point where root's key opens the hypervisor and its host key is pinned, trusting nobody in passing."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness import probe
from harness.contract import Contract, SecretRef
from harness.errors import Invalid, Missing, Refused, TimedOut, Untrusted
from harness.evidence import Secret
from harness.remote import known_hosts, ssh
from harness.remote.known_hosts import HostKey
from harness.remote.ssh import Connections
from harness.secrets import read_secret

PASSWORD_LIMIT_S = 60.0
Say = Callable[[str], None]

# ssh runs this to ask for the password; it finds it in a pipe that only we can open, and leaves nothing on any disk.
_ASKPASS = "#!/bin/sh\nIFS= read -r answer <{pipe} && printf '%s\\n' \"$answer\"\n"
# $1 is the key. A last line without its end would swallow it.
_ADD_KEY = """set -eu
umask 077
mkdir -p ~/.ssh
file=~/.ssh/authorized_keys
if [ -e "$file" ] && grep -qxF "$1" "$file"; then exit 0; fi
if [ -s "$file" ] && [ -n "$(tail -c 1 "$file")" ]; then echo >>"$file"; fi
printf '%s\\n' "$1" >>"$file"
"""


def trust_host_key(contract: Contract, *, trust: bool, say: Say) -> None:
    """Have the hypervisor's host key pinned: it is already, it is the declared one, or the user takes it as it is."""
    login = ssh.hypervisor_login(contract)
    if known_hosts.look_up(login.known_hosts, login.name):
        return  # ssh itself compares it
    offered = [known_hosts.parse_key(text) for text in probe.ssh_host_keys(login.address, login.port)]
    chosen = _choose(contract, offered, trust=trust)
    known_hosts.learn(login.known_hosts, _learned(contract), login.name, login.address, chosen)
    for key in chosen:
        say(f"Trusting {login.name}'s host key {key.type} {key.fingerprint} from now on ({_learned(contract)})")


def _choose(contract: Contract, offered: list[HostKey], *, trust: bool) -> list[HostKey]:
    declared = contract.hypervisor.ssh.host_key_fingerprint
    if isinstance(declared, SecretRef):
        declared = read_secret(declared, base=contract.site_folder).reveal().strip()
    shown = ", ".join(f"{key.type} {key.fingerprint}" for key in offered)
    if declared is not None:
        matching = [key for key in offered if key.fingerprint == declared]
        if not matching:
            do = "Compare on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; do not go on if they differ"
            raise _untrusted(contract, f"it offers {shown}, and the inventory declares {declared}", do)
        return matching
    if not trust:
        do = (
            "Read it on the hypervisor's own console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and write it to"
            " mgmt_hypervisor.ssh.host_key_fingerprint, or take this one: "
            + contract.invoke("bootstrap --trust-host-key")
        )
        raise _untrusted(contract, f"nobody has told its host key yet; it offers {shown}", do)
    return offered


def _untrusted(contract: Contract, happened: str, do: str) -> Untrusted:
    name = f"{contract.hypervisor.name} ({contract.hypervisor.address})"
    return Untrusted(tried="trust the hypervisor's host key", on=name, happened=happened, do=do)


def _learned(contract: Contract) -> Path:
    """The file the inventory names, unless it is part of the inventory, which is reviewed and committed."""
    named = contract.hypervisor.ssh.known_hosts
    if named is not None and not named.is_relative_to(contract.site_folder.absolute()):
        return named
    return contract.state_dir / "known_hosts"


def pin_all(contract: Contract, keys: tuple[str, ...]) -> bool:
    """Pin every host key the hypervisor has, now that one is trusted; True when that was something new."""
    login = ssh.hypervisor_login(contract)
    elsewhere = [path for path in login.known_hosts if path != _learned(contract)]
    if known_hosts.look_up(elsewhere, login.name):
        return False  # a committed file says what is right
    offered = [known_hosts.parse_key(text) for text in keys]
    return known_hosts.pin(_learned(contract), login.name, login.address, offered)


def ensure_key_login(contract: Contract, opened: Connections, *, say: Say, change: bool) -> None:
    """Root's key opens the hypervisor; where it does not yet, the declared password puts it there, once.

    With `change` false the password opens the connection, and our key is not put there.
    """
    login = ssh.hypervisor_login(contract)
    try:
        ssh.run(opened, login.name, "true")
    except Refused:
        if contract.hypervisor.ssh.password is None:
            raise
    else:
        return
    enter_by_password(contract, opened)
    if not change:
        say(f"{login.name} does not take our key yet: looking at it with the password")
        return
    _install_key(opened, login, _public_key(login))
    ssh.hang_up(opened, login.name)
    ssh.run(opened, login.name, "true")  # from here on the key must do
    say(f"Put our key into {login.user}'s authorized keys, with the password for the last time")


def _public_key(login: ssh.Login) -> str:
    """The public half of the identity the inventory names."""
    identity = login.identity_file
    if identity is None or not identity.exists():
        raise Missing(
            tried="read our SSH key",
            on=str(identity or "mgmt_hypervisor.ssh.identity_file"),
            happened="there is none",
            do=f"Make one: ssh-keygen -t ed25519 -f {identity}" if identity else "Name it in the inventory",
        )
    beside = identity.with_name(f"{identity.name}.pub")
    if beside.exists():
        return beside.read_text().strip()
    ended = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(identity)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        do = f"Put the public half beside it: {beside}"
        raise Invalid(tried="read our SSH key", on=str(identity), happened=ended.stderr.strip(), do=do)
    return ended.stdout.strip()


def _install_key(opened: Connections, login: ssh.Login, public: str) -> None:
    ended = ssh.run(opened, login.name, f"sh -c {shlex.quote(_ADD_KEY)} sh {shlex.quote(public)}")
    if not ended.succeeded:
        raise Refused(
            tried="put our key into the authorized keys",
            on=login.name,
            happened=ended.stderr.strip() or f"the command ended with {ended.rc}",
            do="Look at ~/.ssh on the hypervisor",
        )


def enter_by_password(contract: Contract, opened: Connections) -> None:
    """Open the shared connection of the hypervisor with the declared password; what follows goes over it."""
    login, ref = ssh.hypervisor_login(contract), contract.hypervisor.ssh.password
    assert ref is not None  # noqa: S101 - whoever calls this has seen it
    password = read_secret(ref, base=contract.site_folder)
    with _askpass(opened.directory, password) as askpass:
        config, log = opened.directory / "password-config", opened.directory / "password-log"
        config.write_text(_password_config(login, opened.directory))
        argv = ["ssh", "-T", "-F", str(config), "-E", str(log), login.name, "true"]
        environment = {**os.environ, "SSH_ASKPASS": str(askpass), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
        try:
            ended = subprocess.run(
                argv,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PASSWORD_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TimedOut(
                tried="log in with the password",
                on=login.name,
                happened=f"no answer within {PASSWORD_LIMIT_S:.0f} s",
                do="Look whether the host still runs, then try again",
            ) from None
    if ended.returncode == 255:
        raise _judged(login, log.read_text(errors="replace"))


def _password_config(login: ssh.Login, folder: Path) -> str:
    """The common ssh_config, in which ssh keeps the first value it reads."""
    # Only the password may answer: the key was refused, and nobody sits here.
    ours = [
        "BatchMode no",
        "PreferredAuthentications password,keyboard-interactive",
        "PubkeyAuthentication no",
        "NumberOfPasswordPrompts 1",
    ]
    kept = replace(login, identity_file=None)
    return f"Host {login.name}\n    " + "\n    ".join(ours) + "\n" + ssh.render_ssh_config([kept], folder)


@contextmanager
def _askpass(folder: Path, password: Secret) -> Iterator[Path]:
    pipe, program = folder / "answer", folder / "askpass"
    os.mkfifo(pipe, 0o600)
    program.write_text(_ASKPASS.format(pipe=shlex.quote(str(pipe))))
    program.chmod(0o700)
    # Both ends in one hand: what is not read goes when we close it, and opening it waits for nobody.
    handle = os.open(pipe, os.O_RDWR)
    try:
        os.write(handle, f"{password.reveal()}\n".encode())
        yield program
    finally:
        os.close(handle)


def _judged(login: ssh.Login, said: str) -> Exception:
    judged = ssh.judge_failure(login, said)
    if isinstance(judged, Refused):
        return Refused(
            tried="log in with the password",
            on=f"{login.name} ({login.user}@{login.address} port {login.port})",
            happened="the password is wrong, or passwords are not taken",
            do="Correct the secret that mgmt_hypervisor.ssh.password refers to, or put our key there by the console",
        )
    return judged
