"""A demo killed at any moment leaves nothing that the next one stumbles over, and nothing behind after it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.driver import ROOT, Site, require_lab

pytestmark = pytest.mark.lab

# Seconds after the start; MGMT_HARNESS_KILL_AT takes a longer list for a thorough run.
MOMENTS = [float(text) for text in os.environ.get("MGMT_HARNESS_KILL_AT", "2 5 9").split()]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A site whose lab is down before and after."""
    require_lab()
    site = Site(tmp_path)
    assert site.invoke("lab.down").status == 0
    yield site
    assert site.invoke("lab.down").status == 0


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_demo_does_not_poison_the_next(alone: Site, moment: float) -> None:
    others = elsewhere()
    environment = {**os.environ, "MGMT_HARNESS_STATE": str(alone.state)}
    with subprocess.Popen(
        [ROOT / "invoke", "demo"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as demo:
        try:
            demo.wait(moment)
        except subprocess.TimeoutExpired:
            demo.send_signal(signal.SIGKILL)
    again = alone.invoke("demo")
    assert again.status == 0, again.said
    assert leftovers() == []
    assert elsewhere() <= others


def leftovers() -> list[str]:
    """Whatever of the lab can be seen from this machine; the cache may stay."""
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text()
    groups = [line.split()[1] for line in mounts.splitlines() if line.split()[2] == "cgroup2"]
    found = [line for line in links.splitlines() if "mgmt-lab" in line]
    found += [line for line in mounts.splitlines() if "mgmt-lab" in line]
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
