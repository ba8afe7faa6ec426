"""A longer cable brings every frame, in order, and each as late as every other."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from harness import lab
from harness.lab import DELAY_S, LabSpec, LabStatus
from harness.lab.delaying import Line
from tests.lab.client import METRICS, Api, shell, wait


def test_frame_leaves_when_its_time_has_come_and_not_before() -> None:
    line = Line(0.02)
    line.take(b"first", 10.0)
    assert line.due == 10.02
    assert line.ready(10.019) == []
    assert line.ready(10.02) == [b"first"]
    assert line.due is None


def test_frames_keep_their_order_and_distance() -> None:
    line = Line(0.5)
    for number, now in enumerate((1.0, 1.1, 1.4)):
        line.take(bytes([number]), now)
    assert line.ready(1.6) == [b"\x00", b"\x01"]
    assert line.ready(1.8) == []
    assert line.ready(2.5) == [b"\x02"]


def test_full_line_loses_what_comes_then() -> None:
    line = Line(1.0, room=2)
    for number in range(3):
        line.take(bytes([number]), 0.0)
    assert line.ready(1.0) == [b"\x00", b"\x01"]


def link() -> dict[str, object]:
    shown = subprocess.run(["ip", "-d", "-j", "link", "show", "mgmt-lab0"], capture_output=True, check=True).stdout
    found: dict[str, object] = json.loads(shown)[0]
    return found


@pytest.mark.lab
def test_lab_can_be_put_further_away_while_its_guests_run(metrics: Api, running_lab: LabStatus, spec: LabSpec) -> None:
    said: list[str] = []
    away = lab.up(replace(spec, latency="wan"), progress=said.append)
    assert said == ["Putting the lab at another distance: wan"]
    assert (away.latency, away.hosts) == ("wan", running_lab.hosts)
    assert link()["address"] == "02:99:c6:12:63:fe"
    assert metrics.status(METRICS.vmid) == "running"
    # No frame can be faster than the cable: a round trip is never shorter than both ways.
    pinged = subprocess.run(["ping", "-c", "1", "198.18.99.21"], capture_output=True, text=True, check=True).stdout
    assert float(pinged.partition("time=")[2].split()[0]) >= 2 * DELAY_S["wan"] * 1000
    # More than one frame, and longer than any of them: nothing is cut or swapped on the way.
    assert len(shell("hv01", "head -c 300000 /dev/zero | tr '\\0' x")) == 300_000
    said.clear()
    assert lab.up(spec, progress=said.append) == away  # who asks for no distance leaves it as it is
    assert lab.up(replace(spec, latency="none"), progress=said.append).latency == "none"
    assert said == ["The lab is up already", "Putting the lab at another distance: none"]


@pytest.mark.lab
def test_lab_whose_cable_is_dead_is_made_anew(running_lab: LabStatus, spec: LabSpec) -> None:
    lab.up(replace(spec, latency="lan"), progress=print)
    (lab.group_named("mgmt-lab") / "cable/cgroup.kill").write_text("1")
    wait(lambda: None if lab.status().up else True, deadline_s=5, what="end of the cable")
    anew = lab.up(replace(spec, latency="lan"), progress=print)
    assert anew.up
    assert {host.pid for host in anew.hosts}.isdisjoint(host.pid for host in running_lab.hosts)
    lab.up(replace(spec, latency="none"), progress=print)  # near again, for the tests after this one
