"""Run a command on a host over SSH, and tell "could not look" from the command's own exit status.

OpenSSH ends with 255 for its own failures and passes the command's status on otherwise, so a command that ends with
255 looks like a dead network. Here the remote side says its status on a line of its own, and ssh's own messages go to
a file (-E) instead of the command's stderr.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from harness import errors
from harness.remote.config import (
    CONNECT_TIMEOUT_S,
    Login,
    guest_login,
    hypervisor_login,
    render_ssh_config,
    router_login,
    site_logins,
)

__all__ = [
    "Connections",
    "Login",
    "Result",
    "close",
    "connections",
    "guest_login",
    "hang_up",
    "hypervisor_login",
    "judge_failure",
    "open_connections",
    "render_ssh_config",
    "router_login",
    "run",
    "site_logins",
]

# What timeout(1) waits between TERM and KILL.
KILL_AFTER_S = 2
# sun_path holds 108 bytes; ssh adds "/" and 40 hex digits (%C), and "." and 16 random ones while it makes the socket.
LONGEST_DIRECTORY = 108 - 1 - 1 - 40 - 17
DIRECTORY_PREFIX = "mgmt-ssh-"
# OpenSSH's PROTOCOL.mux.
MUX_HELLO, MUX_TERMINATE, MUX_VERSION = 0x00000001, 0x10000005, 4
GOODBYE = struct.pack("!IIIIII", 8, MUX_HELLO, MUX_VERSION, 8, MUX_TERMINATE, 0)

_STATUS = re.compile(r"mgmt-harness-exit=(\d+)\n")
# $1 is the command. The status line is written only when the command itself has ended.
_WRAPPER = 'sh -c "$1"; r=$?; printf "mgmt-harness-exit=%d\\n" "$r" >&2; exit "$r"'


@dataclass(frozen=True)
class Result:
    """What a command ended with."""

    rc: int
    stdout: str
    stderr: str

    @property
    def succeeded(self) -> bool:
        return self.rc == 0


@dataclass(frozen=True)
class Connections:
    """The logins of one run, with the folder that holds their ssh config and control sockets."""

    directory: Path
    config_file: Path
    logins: Mapping[str, Login]


@contextmanager
def connections(logins: Iterable[Login]) -> Iterator[Connections]:
    """Connections for the length of a `with` block; leaving it ends every master that was started."""
    opened = open_connections(logins)
    try:
        yield opened
    finally:
        close(opened)


def open_connections(logins: Iterable[Login]) -> Connections:
    """Write the ssh config of these logins into a private folder; nothing is contacted yet."""
    by_name = {login.name: login for login in logins}
    parent = _short_parent()
    _sweep(parent)
    directory = Path(tempfile.mkdtemp(prefix=f"{DIRECTORY_PREFIX}{os.getpid()}-", dir=parent))
    config_file = directory / "config"
    config_file.write_text(render_ssh_config(by_name.values(), directory))
    return Connections(directory, config_file, by_name)


def close(opened: Connections) -> None:
    """End the masters of these connections and remove their folder."""
    _end(opened.directory)


def hang_up(opened: Connections, name: str) -> None:
    """End the shared connection to `name`, so that the next command logs in anew."""
    argv = ["ssh", "-F", str(opened.config_file), "-O", "exit", opened.logins[name].name]
    subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=CONNECT_TIMEOUT_S, check=False)


def run(opened: Connections, name: str, command: str, *, stdin: str | None = None, timeout_s: float = 20.0) -> Result:
    """Run `command` by sh on host `name` within `timeout_s`; any exit status of its own is a Result."""
    login = opened.logins[name]
    remote = f"exec timeout -k {KILL_AFTER_S} {timeout_s:g} sh -c {shlex.quote(_WRAPPER)} sh {shlex.quote(command)}"
    handle, log_name = tempfile.mkstemp(prefix="log-", dir=opened.directory)
    os.close(handle)
    log = Path(log_name)
    try:
        argv = ["ssh", "-T", "-F", str(opened.config_file), "-E", str(log), login.name, remote]
        ended = _spawn(argv, login, stdin, CONNECT_TIMEOUT_S + timeout_s + 2 * KILL_AFTER_S)
        return _judge(login, command, timeout_s, ended, log.read_text(errors="replace"))
    finally:
        log.unlink(missing_ok=True)


def _spawn(argv: list[str], login: Login, stdin: str | None, limit_s: float) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(argv, input=(stdin or "").encode(), capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as late:
        raise errors.Unreachable(
            tried="run a command over SSH",
            on=_place(login),
            happened=f"no answer within {limit_s:g} s",
            do="Look whether the host still runs and its network answers",
        ) from late
    except FileNotFoundError as missing:
        raise errors.Missing(
            tried="run ssh",
            on="this machine",
            happened="there is no ssh program",
            do="Install the package openssh-client",
        ) from missing


def _judge(
    login: Login, command: str, timeout_s: float, ended: subprocess.CompletedProcess[bytes], said: str
) -> Result:
    stdout, stderr = (stream.decode("utf-8", "replace") for stream in (ended.stdout, ended.stderr))
    statuses = list(_STATUS.finditer(stderr))
    if statuses:
        last = statuses[-1]
        return Result(int(last[1]), stdout, stderr[: last.start()] + stderr[last.end() :])
    if ended.returncode == 255:
        raise judge_failure(login, said)
    if ended.returncode in {124, 137}:
        raise errors.TimedOut(
            tried=f"run {_shortened(command)}",
            on=_place(login),
            happened=f"it did not end within {timeout_s:g} s and was stopped",
            do="Look at the load of that host, then try again",
        )
    raise errors.Refused(
        tried=f"run {_shortened(command)}",
        on=_place(login),
        happened=f"the login shell ended with {ended.returncode}: {_one_line(stderr or stdout) or 'it said nothing'}",
        do=f"Give {login.user} a POSIX shell there, and coreutils (timeout)",
    )


def judge_failure(login: Login, said: str) -> errors.HarnessError:
    """What ssh's own words mean: nobody there, not let in, or somebody else."""
    words = _one_line(said) or "ssh ended with 255 and said nothing"
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said or "revoked" in said:
        return _untrusted(login, "the host key is not the pinned one")
    if "Host key verification failed" in said or "host key is known for" in said:
        return _untrusted(login, "no host key is pinned for it")
    if re.search(r"Permission denied|Too many authentication failures|Unable to negotiate|Bad configuration", said):
        return errors.Refused(tried="log in by SSH", on=_place(login), happened=words, do=_how_to_be_let_in(login))
    return errors.Unreachable(
        tried="log in by SSH",
        on=_place(login),
        happened=words,
        do="Look whether the host runs, has its address, and its sshd listens there",
    )


def _untrusted(login: Login, happened: str) -> errors.Untrusted:
    files = " or ".join(str(path) for path in login.known_hosts) or "a known_hosts file named in the inventory"
    return errors.Untrusted(
        tried="log in by SSH",
        on=_place(login),
        happened=happened,
        do=f"Compare `ssh-keyscan -p {login.port} {login.address}` with the host's own console; "
        f"if it is right, pin that key under the name {login.name} in {files}",
    )


def _how_to_be_let_in(login: Login) -> str:
    identity = login.identity_file
    if identity is None:
        return f"Name the key in the inventory (ssh.identity_file), or load it for user {login.user}"
    if not identity.exists():
        return f"Put the private key at {identity}, it is not there"
    return f"Add the public half of {identity} to the authorized keys of {login.user} there"


def _place(login: Login) -> str:
    return f"{login.name} ({login.user}@{login.address} port {login.port})"


def _one_line(text: str) -> str:
    """ssh's last words; warnings and the frame of @ signs come before them."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("@", "Warning:"))]
    return " ".join(lines[-2:])


def _shortened(command: str) -> str:
    first = command.strip().splitlines()[0] if command.strip() else "an empty command"
    return first if len(first) <= 60 else f"{first[:60]}…"


def _short_parent() -> Path:
    """A folder short enough for control sockets; $TMPDIR may be too long for them."""
    name_length = len(f"/{DIRECTORY_PREFIX}{os.getpid()}-") + 8
    for folder in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it private
        if folder and os.access(folder, os.W_OK) and len(folder) + name_length <= LONGEST_DIRECTORY:
            return Path(folder)
    raise errors.Missing(
        tried="make a folder for SSH's control sockets",
        on="this machine",
        happened=f"no writable temporary folder has a path shorter than {LONGEST_DIRECTORY - name_length} characters",
        do="Set TMPDIR to a short, writable folder",
    )


def _sweep(parent: Path) -> None:
    """Remove what runs left behind that were killed."""
    for folder in parent.glob(f"{DIRECTORY_PREFIX}*"):
        pid = folder.name.removeprefix(DIRECTORY_PREFIX).partition("-")[0]
        try:
            if pid.isdigit() and folder.stat().st_uid == os.getuid() and not _alive(int(pid)):
                _end(folder)
        except OSError as error:
            # Another run sweeps at the same moment, or what a killed one started still writes: the next run sweeps it.
            if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:
                raise


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _end(directory: Path) -> None:
    paths = [path for path in directory.iterdir() if stat.S_ISSOCK(path.lstat().st_mode)]
    _end_masters(paths)
    for path in paths:
        # The master removes it too, a moment later.
        path.unlink(missing_ok=True)
    shutil.rmtree(directory)


def _end_masters(paths: Sequence[Path]) -> None:
    """What `ssh -O exit` says, without a program for each of a dozen hosts; one that is gone already is no failure.

    All of them are told before the first is waited for.
    """
    with ExitStack() as stack:
        masters = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in paths]
        for master, path in zip(masters, paths, strict=True):
            with suppress(OSError):
                master.settimeout(CONNECT_TIMEOUT_S)
                master.connect(str(path))
                master.sendall(GOODBYE)
        for master in masters:
            with suppress(OSError):
                while master.recv(4096):
                    pass  # its own greeting; it is gone when the line is
