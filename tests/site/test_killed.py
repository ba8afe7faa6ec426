"""A demo killed at any moment leaves nothing that the next one stumbles over, and nothing behind after it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.drills.record import write_record
from harness.lab import paths
from tests.site.driver import ROOT, Site, require_lab
from tests.sites import CUT_OFF

pytestmark = pytest.mark.lab

# Words that the demo says, and for how many seconds it may go on then: each in another phase or another role.
STAGES = (
    ("lab: Starting router", 0.5),
    ("version: Pin the version of pve-manager: changed", 1.5),  # while apt installs
    ("access: Make the missing tokens: changed - token verify", 0.0),
    ("backup: Set the backup job: changed", 0.2),  # the tokens' secrets are on their way
    ("clone done", 1.0),
)
# Seconds after the start, each with a whole demo afterwards.
MOMENTS = [float(text) for text in os.environ.get("MGMT_HARNESS_KILL_AT", "").split()]
THOROUGH = pytest.mark.skipif(not MOMENTS, reason="takes minutes: MGMT_HARNESS_KILL_AT='0.5 2 4 8 16 24 32'")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A site whose lab is down before and after."""
    require_lab()
    site = Site(tmp_path)
    assert site.invoke("lab.down").status == 0
    yield site
    assert site.invoke("lab.down").status == 0


def test_a_demo_killed_in_every_phase_is_finished_by_the_next(alone: Site) -> None:
    """Each one goes on where the one before was killed."""
    others = elsewhere()
    write_record(alone.state / "lab", CUT_OFF)  # a drill on a lab that has been taken down since
    for words, seconds in STAGES:
        with demo(alone) as running:
            assert running.stdout is not None
            said = list(until(words, running.stdout))
            assert words in said[-1], "".join(said)
            kill_after(running, seconds)
    finish(alone, others)


@THOROUGH
@pytest.mark.parametrize("moment", MOMENTS or [0.0])
def test_a_killed_demo_does_not_poison_the_next(alone: Site, moment: float) -> None:
    others = elsewhere()
    with demo(alone) as running:
        kill_after(running, moment)
    finish(alone, others)


def until(words: str, lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if words in line:
            return


@contextmanager
def demo(site: Site) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [ROOT / "invoke", "demo"],
        env={**os.environ, "MGMT_HARNESS_STATE": str(site.state)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        yield running


def kill_after(running: subprocess.Popen[str], seconds: float) -> None:
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGKILL)


def finish(site: Site, others: set[str]) -> None:
    """Nobody has to clean up before the next one."""
    again = site.invoke("demo")
    assert again.status == 0, again.said
    assert leftovers() == []
    assert elsewhere() <= others


def leftovers() -> list[str]:
    """Whatever of the lab can be seen from this machine; the cache may stay."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    groups = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    found = [line for line in links.splitlines() if "mgmt-lab" in line]
    may_stay = {str(paths.CACHE), str(paths.LOCK)}
    found += [line for line in mounts if "mgmt-lab" in line and line.split()[1] not in may_stay]
    found += [str(path) for group in groups for path in Path(group).glob("mgmt-lab*")]
    found += [path for path in ["/var/lib/mgmt-lab"] if Path(path).exists()]
    return found


def elsewhere() -> set[str]:
    """Processes whose network is not ours: everything inside the lab, and whatever other containers run here."""
    ours = Path("/proc/self/ns/net").readlink()
    return {process.name for process in Path("/proc").glob("[0-9]*") if _network(process) not in {ours, None}}


def _network(process: Path) -> Path | None:
    try:
        return (process / "ns/net").readlink()
    except OSError:  # it has ended meanwhile
        return None
