"""On the lab, over its real SSH: a dead clone is cleared away as root on the node, and a second operator is refused."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness import lab
from harness.wait import wait_until
from tests.site.driver import ROOT, Site

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(("kind", "guest"), [("task-kill", "metrics-vm01"), ("task-crash", "logs-vm01")])
def test_a_clone_that_died_half_way_is_cleared_away_and_made_again(bare: Site, kind: str, guest: str) -> None:
    """Its worker is killed; or the whole API is, which systemd starts again."""
    lab.control({"op": "fault", "kind": kind, "task": "qmclone"})
    made = bare.invoke("provision", f"--guest={guest}")
    assert made.status == 0, made.said
    assert "what it left was removed as root on the node" in made.said
    assert bare.run(guest, "hostname").strip() == guest


def test_an_operator_with_another_state_folder_is_refused_by_name(bare: Site, tmp_path: Path) -> None:
    lab.control({"op": "fault", "kind": "task-stall", "task": "qmclone", "seconds": 10.0})
    environment = {**os.environ, "MGMT_HARNESS_STATE": str(tmp_path)}
    argv = [str(ROOT / "invoke"), "provision", "--guest=alerting-vm01"]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as first:
        assert wait_until(lambda: holder(bare), deadline_s=30).value
        second = bare.invoke("provision", "--guest=dashboards-vm01")
        assert first.wait(120) == 0
    assert second.status == 2
    assert re.search(r"another run is at work \(\S+ on \S+, process \d+, since 20", second.said), second.said
    assert bare.invoke("provision", "--guest=dashboards-vm01").status == 0


def holder(site: Site) -> tuple[str | None, str]:
    """Who holds the hypervisor's lock."""
    said = site.run("hv01", "cat /run/mgmt-harness.lock")
    return (said or None), said
