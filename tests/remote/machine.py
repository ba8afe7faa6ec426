"""A throw-away machine for SSH tests: this system's own files under an overlay, with a real sshd on loopback."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.remote.config import Login
from harness.remote.known_hosts import HostKey, parse_key
from harness.wait import wait_until

# Everything below / is copy-on-write in a tmpfs that ends with the mount namespace. The sentinel proves to a test that
# its commands do not reach this system itself.
START = r"""
set -eu
work=$1 port=$2 setting=$3
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/inner" "$work/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/inner" "$work/root"
root=$work/root
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root/run/sshd" "$root/root/.ssh" "$root/etc/ssh"
hostname clone-of-template
echo clone-of-template >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 clone-of-template\n' >"$root/etc/hosts.lab"
cat "$root/etc/hosts.lab" >"$root/etc/hosts"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
rm -rf "$root/var/lib/mgmt-harness" "$root"/root/.bash* "$root/root/.profile" "$root"/etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -C template -f "$root/etc/ssh/ssh_host_ed25519_key"
ssh-keygen -q -t ecdsa -N '' -C template -f "$root/etc/ssh/ssh_host_ecdsa_key"
cat /dev/stdin >"$root/root/.ssh/authorized_keys"
chmod 700 "$root/root/.ssh"
cat >"$root/etc/ssh/sshd_config" <<CONFIG
Port $port
ListenAddress 127.0.0.1
PidFile /run/sshd.pid
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
$setting
CONFIG
touch "$root/run/throw-away-machine"
exec chroot "$root" /usr/sbin/sshd -D -e
"""
NEEDED = {"sshd": "openssh-server", "ssh": "openssh-client", "ssh-keyscan": "openssh-client", "unshare": "util-linux"}


def what_is_missing() -> str | None:
    """Why no such machine can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root for mount and PID namespaces"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = [package for tool, package in NEEDED.items() if shutil.which(tool, path=path) is None]
    return f"needs the package {', '.join(sorted(set(absent)))}" if absent else None


@dataclass(frozen=True)
class Machine:
    """A running machine; `login` trusts its key."""

    login: Login
    host_key: HostKey
    pid: int  # of its PID 1, as this system counts

    def renamed(self, name: str) -> Login:
        return replace(self.login, name=name)


@contextmanager
def started_machine(folder: Path, setting: str = "") -> Iterator[Machine]:
    """A machine that lives as long as the block, at 127.0.0.1 and a free port; `setting` is a line for its sshd.

    Where none can be started the test is skipped, and says why.
    """
    if missing := what_is_missing():
        pytest.skip(missing)
    identity = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", identity], check=True)
    work = folder / "machine"
    work.mkdir()
    port = free_port()
    argv = ["unshare", "--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child", "sh", "-c", START, "sh"]
    with (
        (folder / "sshd.log").open("wb") as log,
        identity.with_suffix(".pub").open("rb") as public,
        subprocess.Popen([*argv, str(work), str(port), setting], stdin=public, stderr=log) as process,
    ):
        try:
            yield _ready(process, port, identity, folder)
        finally:
            end(process)


def end(unshare: subprocess.Popen[bytes]) -> None:
    """End a PID namespace by its first process, and then the unshare that waits for it.

    `unshare --kill-child` alone is not enough: the kernel forgets that wish when a daemon changes its capabilities.
    """
    for pid in Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    unshare.kill()


def _ready(process: subprocess.Popen[bytes], port: int, identity: Path, folder: Path) -> Machine:
    def look() -> tuple[str | None, str]:
        if process.poll() is not None:
            raise RuntimeError(f"the machine did not start: {(folder / 'sshd.log').read_text()}")
        said = subprocess.run(
            ["ssh-keyscan", "-t", "ed25519", "-p", str(port), "127.0.0.1"], capture_output=True, text=True, check=False
        ).stdout
        return (said or None), "no host key yet"

    waited = wait_until(look, deadline_s=20)
    assert waited.value is not None, waited.last_seen
    key = parse_key(waited.value.split(maxsplit=1)[1])
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"clone {key}\n")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    login = Login("clone", "127.0.0.1", port, "root", identity, (known_hosts,))
    return Machine(login, key, int(children[0]))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
