"""Killed wherever it was, bootstrap goes on when it is run again, and ends as if nobody had killed it.

By default a few kills; MGMT_HARNESS_KILL_EVERY=1 kills at every boundary (2: at every second, ...), each time on a host
that the installer has just left, and a rotation of the tokens wherever it could lose a secret.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.lab import cgroups
from harness.wait import wait_until
from tests.bootstrap.installed import SECRETS, TOKENS, Installed, call, installed_lab
from tests.bootstrap.states import differing, state

pytestmark = pytest.mark.lab

EVERY = int(os.environ.get("MGMT_HARNESS_KILL_EVERY", "0"))
# What is told after a change; between two of them lies a boundary.
TOLD = (": changed", "Trusting ", "Put our key ", "All host keys ", "The secret of ", "The certificate's ")


@pytest.fixture(scope="module")
def wanted(undisturbed: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The end of a run that nobody killed."""
    return undisturbed["after"]


@pytest.fixture
def anew(tmp_path: Path, wanted: dict[str, Any]) -> Iterator[Installed]:
    """After `wanted`, as there is one lab at a time."""
    with installed_lab(tmp_path) as site:
        yield site


Kill = Callable[[subprocess.Popen[str], Path], None]


def the_command(process: subprocess.Popen[str], _: Path) -> None:
    process.send_signal(signal.SIGKILL)


def everything(_: subprocess.Popen[str], group: Path) -> None:
    """As a machine that loses its power: Ansible and the SSH connections go with it."""
    (group / "cgroup.kill").write_text("1")


def killed(site: Installed, is_time: Callable[[str], bool], kill: Kill, *arguments: str) -> bool:
    """Whether the run came so far; it was well otherwise."""
    group = _group()
    joined = ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", str(group)]
    with subprocess.Popen(
        [*joined, *site.command(*arguments)],
        env={**site.environment, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if is_time(line):
                kill(process, group)
                return True
        assert process.wait() == 0, "".join(said)
        return False


def _group() -> Path:
    """What outlives a killed command still runs there, and is in nobody's way."""
    mounted = cgroups.mount_point()
    assert mounted is not None
    return mounted / f"mgmt-killed-{os.getpid()}"


@pytest.fixture(scope="module", autouse=True)
def _no_group_left() -> Iterator[None]:
    group = _group()
    group.mkdir(exist_ok=True)  # a killed test run with this very pid may have left it
    yield
    (group / "cgroup.kill").write_text("1")
    waited = wait_until(lambda: _removed(group), deadline_s=10.0, first_pause_s=0.01, longest_pause_s=0.1)
    assert waited.value, waited.last_seen


def _removed(group: Path) -> tuple[bool | None, str]:
    try:
        group.rmdir()
    except OSError as error:
        return None, f"{group}: {error.strerror}"
    return True, "gone"


def after(changes: int) -> Callable[[str], bool]:
    """At the line that tells the last of so many changes."""
    left = itertools.count(changes - 1, -1)
    return lambda line: any(words in line for words in TOLD) and next(left) == 0


def mended(site: Installed) -> None:
    ended = site.bootstrap()
    assert ended.status == 0, ended.said
    assert all(call(purpose, "GET", "/access/permissions").json()["data"] for purpose in TOKENS)


def test_killed_and_run_again_it_ends_the_same(anew: Installed, wanted: dict[str, Any]) -> None:
    assert killed(anew, after(14), the_command)
    assert killed(anew, after(21), everything)  # goes on where the other was, until half the tokens are made
    mended(anew)
    assert differing(state(anew), wanted) == {}
    rotation_killed(anew, "after a new token", everything)
    host_died(anew, "provision", answer="")  # as well
    mended(anew)
    assert differing(state(anew), wanted) == {}


ROTATION = {
    "after an old token's end": lambda line: "End the old tokens: changed - token provision" in line,
    "after a new token": lambda line: "Make the missing tokens: changed - token verify" in line,
    "before the secrets are fetched": lambda line: "backup" in line,
    "between the secrets": lambda line: "The secret of verify" in line,
}


def rotation_killed(site: Installed, moment: str, kill: Kill) -> None:
    old = (SECRETS / "verify.token").read_text()
    assert killed(site, ROTATION[moment], kill, "--rotate-tokens")
    is_stored = (SECRETS / "verify.token").read_text() != old
    assert is_stored or call("verify", "GET", "/version").status_code == 401, "the old secret must have ended"


def host_died(site: Installed, purpose: str, *, answer: str) -> None:
    """While it made a token: PVE has it, and its secret came into no file."""
    path, file = f"/access/users/{purpose}@pve/token/harness", f"/var/lib/mgmt-harness/tokens/{purpose}"
    site.inside(f"pvesh delete {path}; rm -f {file} && pvesh create {path} --privsep 1 >/dev/null")
    site.inside(f"umask 077 && printf %s '{answer}' >{file}.new")


each_boundary = pytest.mark.skipif(not EVERY, reason="takes an hour: MGMT_HARNESS_KILL_EVERY=1")


@each_boundary
def test_killed_at_a_boundary_and_run_again_it_ends_the_same(wanted: dict[str, Any], tmp_path: Path) -> None:
    for boundary in itertools.count(EVERY, EVERY):
        folder = tmp_path / str(boundary)
        folder.mkdir()
        with installed_lab(folder) as site:
            if not killed(site, after(boundary), everything if boundary % 2 else the_command):
                break
            mended(site)
            assert differing(state(site), wanted) == {}, f"boundary {boundary}"
            print(f"boundary {boundary}: the same", flush=True)
    assert boundary > 40, "the run has more changes than that"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, wanted: dict[str, Any]) -> Iterator[Installed]:
    with installed_lab(tmp_path_factory.mktemp("done")) as site:
        assert site.bootstrap().status == 0
        yield site


@each_boundary
@pytest.mark.parametrize("kill", [the_command, everything])
@pytest.mark.parametrize("moment", ROTATION)
def test_a_rotation_that_was_killed_ends_by_itself(
    done: Installed, wanted: dict[str, Any], moment: str, kill: Kill
) -> None:
    rotation_killed(done, moment, kill)
    mended(done)
    assert differing(state(done), wanted) == {}


@each_boundary
@pytest.mark.parametrize("answer", ["", '{"full-tokenid":"verify@pve!harn'], ids=["no answer", "half an answer"])
def test_a_host_that_died_while_it_made_a_token(done: Installed, wanted: dict[str, Any], answer: str) -> None:
    host_died(done, "verify", answer=answer)
    mended(done)
    assert differing(state(done), wanted) == {}
