"""A command's own status, whatever it is, stays apart from a host that could not be looked at."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from harness import errors
from harness.remote.config import Login
from harness.remote.ssh import DIRECTORY_PREFIX, Connections, _sweep, connections, judge_failure, run
from harness.wait import wait_until
from tests.remote.machine import Machine, free_port


@pytest.mark.parametrize("status", [0, 1, 3, 124, 137, 254, 255])
def test_passes_on_the_commands_own_status(opened: Connections, status: int) -> None:
    result = run(opened, "clone", f"echo out; echo err >&2; exit {status}")
    assert (result.rc, result.stdout, result.stderr) == (status, "out\n", "err\n")


def test_a_command_that_is_killed_has_a_status_too(opened: Connections) -> None:
    assert run(opened, "clone", "kill -KILL $$").rc == 137


def test_stderr_needs_no_line_end_to_be_kept(opened: Connections) -> None:
    assert run(opened, "clone", "printf no-newline >&2; exit 4").stderr == "no-newline"


def test_takes_quotes_lines_and_input_as_they_are(opened: Connections) -> None:
    command = "cat; printf '%s\\n' \"it's $((1 + 1))\"\nprintf '%s' '$HOME ä'"
    assert run(opened, "clone", command, stdin="given ß\n").stdout == "given ß\nit's 2\n$HOME ä"


def test_without_input_a_reading_command_ends(opened: Connections) -> None:
    assert run(opened, "clone", "cat").stdout == ""


def test_runs_on_the_machine_that_is_thrown_away(opened: Connections) -> None:
    assert run(opened, "clone", "test -e /run/throw-away-machine && uname -n").rc == 0
    assert not Path("/run/throw-away-machine").exists()


def test_says_when_a_command_takes_too_long(opened: Connections) -> None:
    with pytest.raises(errors.TimedOut, match=r"sleep 30.*clone \(root@127\.0\.0\.1.*within 0\.5 s"):
        run(opened, "clone", "sleep 30", timeout_s=0.5)


def test_many_at_once_share_what_they_need(opened: Connections) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda i: run(opened, "clone", f"echo {i}; echo e{i} >&2"), range(24)))
    assert [(one.stdout, one.stderr) for one in said] == [(f"{i}\n", f"e{i}\n") for i in range(24)]


def test_one_login_serves_all_commands(machine: Machine) -> None:
    with connections([machine.login]) as opened:
        said = {run(opened, "clone", "echo $SSH_CONNECTION").stdout for _ in range(3)}
    assert len(said) == 1


def test_leaves_no_master_and_no_folder(machine: Machine) -> None:
    with connections([machine.login]) as opened:
        run(opened, "clone", "true")
        assert any(stat.S_ISSOCK(path.stat().st_mode) for path in opened.directory.iterdir())
        directory = opened.directory
    assert not directory.exists()
    assert_nobody_names(directory)


def test_the_next_run_clears_up_after_one_that_was_killed(machine: Machine) -> None:
    killed = [sys.executable, "-c", KILLED_RUN, str(machine.login.port), *map(str, [machine.login.identity_file])]
    said = subprocess.run([*killed, str(machine.login.known_hosts[0])], capture_output=True, text=True, check=False)
    left = Path(said.stdout.strip())
    assert left.exists(), said.stderr
    with connections([machine.login]):
        assert not left.exists()
    assert_nobody_names(left)


def test_a_folder_that_a_killed_run_still_fills_is_left_to_the_next_sweep(tmp_path: Path) -> None:
    """What a killed run had started may write there while the folder is being removed."""
    left = tmp_path / f"{DIRECTORY_PREFIX}{dead_pid()}-left"
    for number in range(200):
        (left / str(number)).mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", FILLING, left]) as filling:
        assert wait_until(lambda: (any(left.glob("new-*")) or None, "empty"), deadline_s=10).value
        ended_early = 0
        for _ in range(50):
            _sweep(tmp_path)  # must not fail, whatever of it is left
            ended_early += left.exists()
            left.mkdir(exist_ok=True)
        filling.kill()
    assert ended_early, "the folder was never filled while it was removed"
    _sweep(tmp_path)
    assert not left.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_a_sweep_leaves_the_folders_of_the_living_and_of_others(tmp_path: Path) -> None:
    names = [f"{DIRECTORY_PREFIX}{os.getpid()}-mine", f"{DIRECTORY_PREFIX}no-number", "other-1-x"]
    for name in names:
        (tmp_path / name).mkdir()
    foreign = tmp_path / f"{DIRECTORY_PREFIX}{dead_pid()}-foreign"
    foreign.mkdir()
    os.chown(foreign, 65534, 65534)
    _sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, foreign.name])


def dead_pid() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


FILLING = """
import itertools, pathlib, sys
for number in itertools.count():
    try:
        pathlib.Path(sys.argv[1], f"new-{number}").touch()
    except FileNotFoundError:
        pass
"""

KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from harness.remote.ssh import Login, open_connections, run
port, identity, known = sys.argv[1:]
opened = open_connections([Login("clone", "127.0.0.1", int(port), "root", Path(identity), (Path(known),))])
run(opened, "clone", "true")
print(opened.directory, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def assert_nobody_names(folder: Path) -> None:
    """A master has let go of its line a few milliseconds before it has ended."""
    waited = wait_until(lambda: (str(folder) not in all_command_lines() or None, "a master"), deadline_s=5.0)
    assert waited.value, f"a process still has {folder} in its command line"


def all_command_lines() -> str:
    texts = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            texts.append(path.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
    return "\n".join(texts)


def test_nobody_listens(machine: Machine) -> None:
    with (
        connections([replace(machine.login, port=free_port())]) as opened,
        pytest.raises(errors.Unreachable, match=r"Connection refused.*Look whether the host runs"),
    ):
        run(opened, "clone", "true")


def test_somebody_listens_and_is_no_sshd(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = replace(machine.login, port=mute.getsockname()[1])
        with connections([silent]) as opened, pytest.raises(errors.Unreachable, match="timed out"):
            run(opened, "clone", "true", timeout_s=1)


def test_a_key_that_was_never_pinned_is_not_trusted(machine: Machine) -> None:
    with (
        connections([machine.renamed("stranger")]) as opened,
        pytest.raises(errors.Untrusted, match=r"no host key is pinned for it.*under the name stranger in"),
    ):
        run(opened, "stranger", "true")
    assert "stranger" not in machine.login.known_hosts[0].read_text()


def test_a_key_that_changed_is_not_trusted(machine: Machine, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    pinned = tmp_path / "known_hosts"
    pinned.write_text(f"clone {(tmp_path / 'other.pub').read_text()}")
    with (
        connections([replace(machine.login, known_hosts=(pinned,))]) as opened,
        pytest.raises(errors.Untrusted, match=r"the host key is not the pinned one.*ssh-keyscan -p"),
    ):
        run(opened, "clone", "true")


def test_a_key_that_is_not_authorised_is_refused(machine: Machine, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    with (
        connections([replace(machine.login, identity_file=tmp_path / "other")]) as opened,
        pytest.raises(errors.Refused, match=r"Permission denied.*Add the public half of .*/other"),
    ):
        run(opened, "clone", "true")


def test_a_private_key_that_is_not_there_is_named(machine: Machine, tmp_path: Path) -> None:
    with (
        connections([replace(machine.login, identity_file=tmp_path / "none")]) as opened,
        pytest.raises(errors.Refused, match=r"Put the private key at .*/none"),
    ):
        run(opened, "clone", "true")


def test_a_login_shell_that_runs_nothing_is_refused(machine: Machine) -> None:
    with connections([machine.login]) as opened:
        run(opened, "clone", "useradd -M -s /usr/sbin/nologin nobody2; mkdir -p /home/nobody2/.ssh", timeout_s=30)
        run(
            opened,
            "clone",
            "cp /root/.ssh/authorized_keys /home/nobody2/.ssh; usermod -p '*' nobody2; chmod -R a+rX /home",
        )
    with (
        connections([replace(machine.login, user="nobody2")]) as opened,
        pytest.raises(errors.Refused, match=r"the login shell ended with 1.*not available.*POSIX shell"),
    ):
        run(opened, "clone", "true")


def test_a_connection_that_breaks_under_a_command_is_no_status(opened: Connections) -> None:
    with pytest.raises(errors.Unreachable):
        run(opened, "clone", 'kill -KILL "$(ps -o ppid= -p "$(ps -o ppid= -p $PPID | tr -d " ")" | tr -d " ")"')


@pytest.mark.parametrize(
    ("recorded", "kind"),
    [
        ("ssh: connect to host 198.18.99.30 port 22: No route to host", errors.Unreachable),
        ("ssh: connect to host 198.18.99.30 port 22: Connection timed out", errors.Unreachable),
        ("ssh: connect to host 10.0.0.1 port 22: Network is unreachable", errors.Unreachable),
        ("ssh: Could not resolve hostname hv01.example: Name or service not known", errors.Unreachable),
        ("kex_exchange_identification: Connection closed by remote host", errors.Unreachable),
        ("Connection timed out during banner exchange", errors.Unreachable),
        ("Connection to 198.18.99.30 closed by remote host.", errors.Unreachable),
        ("a_autoprov@198.18.99.30: Permission denied (publickey).", errors.Refused),
        ("Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures", errors.Refused),
        (
            "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-dss",
            errors.Refused,
        ),
        ("No ED25519 host key is known for x and you have requested strict checking.", errors.Untrusted),
        ("", errors.Unreachable),
    ],
)
def test_knows_the_words_of_openssh(recorded: str, kind: type[errors.HarnessError]) -> None:
    login = Login("metrics-vm01", "198.18.99.30", 22, "a_autoprov", None, ())
    assert type(judge_failure(login, recorded)) is kind


def test_a_temporary_folder_that_is_too_long_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long_one = tmp_path / ("x" * 90)
    long_one.mkdir()
    monkeypatch.setenv("TMPDIR", str(long_one))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with connections([Login("hv01", "127.0.0.1", 22, "root", None, ())]) as opened:
        assert not opened.directory.is_relative_to(long_one)
        assert stat.S_IMODE(opened.directory.stat().st_mode) == 0o700


def test_without_ssh_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with connections([Login("hv01", "127.0.0.1", 22, "root", None, ())]) as opened:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(errors.Missing, match="openssh-client"):
            run(opened, "hv01", "true")
        assert [path.name for path in opened.directory.iterdir()] == ["config"]
