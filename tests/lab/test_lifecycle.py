"""`lab.up` works whatever an earlier run left, and `lab.down` leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from harness import embedded, lab
from harness.errors import HarnessError
from harness.lab import LabSpec, LabStatus, cgroups, machines, paths
from harness.wait import wait_until
from tests.lab.client import wait

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parent.parent.parent


def test_pves_pace_changes_while_the_lab_runs(running_lab: LabStatus, spec: LabSpec) -> None:
    said: list[str] = []
    assert running_lab.work == "instant"
    slow = lab.up(replace(spec, work="recorded"), progress=said.append)
    assert (slow.work, slow.hosts) == ("recorded", running_lab.hosts)
    assert lab.up(spec, progress=said.append) == slow  # who asks for none leaves it as it is
    assert lab.up(replace(spec, work="instant"), progress=said.append) == running_lab
    changes = [f"Letting PVE's tasks take their time: {work}" for work in ("recorded", "instant")]
    assert said == [changes[0], "The lab is up already", changes[1]]


def namespaces(pids: Iterable[int]) -> set[str]:
    """The network, mount and pid namespaces these processes are in."""
    found = set()
    for pid in pids:
        for kind in ("net", "mnt", "pid"):
            with suppress(OSError):  # it ended while we looked
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return found


def command_lines(pids: Iterable[int]) -> Iterator[str]:
    for pid in pids:
        with suppress(OSError):  # it ended while we looked
            yield Path(f"/proc/{pid}/cmdline").read_text()


def everything() -> Iterator[int]:
    return (int(process.name) for process in Path("/proc").glob("[0-9]*"))


def consoles() -> str:
    """What the machines run under, and what was said before their systemd could keep a journal."""
    told = [f"{folder.name}: {(folder / 'console.log').read_text()}" for folder in sorted(paths.MACHINES.iterdir())]
    return f"{lab.status().hosts} {told}"


@contextmanager
def interrupted(script: Path, after_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs for that long, then is killed."""
    program = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)})
    with suppress(subprocess.TimeoutExpired):
        program.wait(timeout=after_s)
    yield program
    program.kill()
    program.wait()


def test_down_leaves_nothing(free_machine: None, spec: LabSpec) -> None:
    lab.down(print)
    links = set(Path("/sys/class/net").iterdir())
    mounts = Path("/proc/self/mounts").read_text()
    lab.up(spec, progress=print)
    made = namespaces(cgroups.processes()) - namespaces([os.getpid()])
    assert len(made) >= 7  # three of each machine, one of the switch
    lab.down(print)
    assert not cgroups.lab_group().exists()
    assert set(Path("/sys/class/net").iterdir()) == links
    assert Path("/proc/self/mounts").read_text() == mounts
    assert made.isdisjoint(namespaces(everything()))
    assert not embedded.STATE.exists()
    assert lab.status() == LabStatus(up=False)
    assert lab.memory_mib() == 0


def test_down_twice_is_no_error(free_machine: None) -> None:
    lab.down(print)
    lab.down(print)


def test_up_again_touches_nothing(running_lab: LabStatus, spec: LabSpec) -> None:
    said: list[str] = []
    assert lab.up(spec, progress=said.append) == running_lab
    assert said == ["The lab is up already"]


def test_status_tells_a_client_everything(running_lab: LabStatus) -> None:
    told = json.loads(json.dumps(running_lab.to_json()))
    assert told["up"] is True
    assert told["dns"] == {"address": "198.18.99.1", "port": 53}
    assert told["api"]["url"] == "https://198.18.99.21:8006"
    assert re.fullmatch(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", told["api"]["fingerprint"])
    for token in told["api"]["tokens"].values():
        assert Path(token["file"]).stat().st_mode & 0o777 == 0o600
    assert [host["name"] for host in told["hosts"]] == ["core-rt01", "hv01"]
    assert [(guest["vmid"], guest["status"]) for guest in told["guests"]] == [(9000, "template")]


def test_another_spec_makes_another_lab(running_lab: LabStatus, spec: LabSpec) -> None:
    said: list[str] = []
    other = lab.up(replace(spec, pool="other"), progress=said.append)
    assert "making it anew" in said[0]
    assert {host.pid for host in other.hosts}.isdisjoint(host.pid for host in running_lab.hosts)


@pytest.mark.parametrize("after_s", [0.15, 0.3, 0.5, 0.8, 1.1, 1.5, 2.0])
def test_up_after_a_killed_up(free_machine: None, spec: LabSpec, tmp_path: Path, after_s: float) -> None:
    lab.down(print)
    script = tmp_path / "up.py"
    script.write_text(f"from harness import lab\nlab.up(lab.LabSpec(dnsmasq={dict(spec.dnsmasq)!r}), progress=print)\n")
    with interrupted(script, after_s):
        pass
    assert lab.up(spec, progress=print).up
    lab.down(print)
    assert not cgroups.lab_group().exists()


def test_interrupted_up_leaves_nothing(free_machine: None, spec: LabSpec, tmp_path: Path) -> None:
    lab.down(print)
    script = tmp_path / "up.py"
    script.write_text(f"from harness import lab\nlab.up(lab.LabSpec(dnsmasq={dict(spec.dnsmasq)!r}), progress=print)\n")
    with interrupted(script, after_s=1.0) as program:
        program.send_signal(signal.SIGINT)
        program.wait(timeout=20)
    assert not cgroups.lab_group().exists()
    assert not embedded.STATE.exists()


def test_lab_that_cannot_start_leaves_nothing(free_machine: None) -> None:
    lab.down(print)
    with pytest.raises(HarnessError, match=r"failed: dnsmasq\.service .*bad option"):
        lab.up(LabSpec(dnsmasq={"lab.conf": "no-such-option\n"}), progress=print)
    assert not cgroups.lab_group().exists()
    assert not embedded.STATE.exists()


def test_killed_build_is_not_taken_for_a_built_tree(free_machine: None, spec: LabSpec, tmp_path: Path) -> None:
    lab.down(print)
    script = tmp_path / "up.py"
    script.write_text(
        "import pathlib\nfrom harness import lab\nfrom harness.lab import lifecycle, rootfs\n"
        f"rootfs.CACHE = lifecycle.CACHE = pathlib.Path({str(tmp_path / 'cache')!r})\n"
        f"lab.up(lab.LabSpec(dnsmasq={dict(spec.dnsmasq)!r}), progress=print)\n"
    )
    with interrupted(script, after_s=0):
        wait(lambda: [*(tmp_path / "cache").glob("unfinished-*")] or None, deadline_s=60, what="a tree being built")
        assert any("mmdebstrap" in line for line in command_lines(cgroups.processes()))
    assert all(folder.name.startswith("unfinished-") for folder in (tmp_path / "cache").iterdir())
    lab.down(print)
    assert not cgroups.lab_group().exists()


def test_dead_machine_is_noticed(running_lab: LabStatus, spec: LabSpec) -> None:
    (cgroups.lab_group() / "core-rt01" / "cgroup.kill").write_text("1")
    router = paths.MACHINES / "core-rt01/supervisor"
    wait(lambda: True if machines.alive(router, Path("/proc")) is None else None, deadline_s=5, what="dead router")
    assert not lab.status().up
    assert lab.up(spec, progress=print).up


def test_machines_reboot(running_lab: LabStatus) -> None:
    before = {host.name: host.pid for host in running_lab.hosts}
    for name in before:
        machines.run_inside(paths.MACHINES / name, "systemctl", "reboot", tried="reboot")
    gone = {*before.values(), None}
    waited = wait_until(
        lambda: (gone.isdisjoint(host.pid for host in lab.status().hosts) or None, consoles()), deadline_s=20
    )
    assert waited.value, waited.last_seen
    assert lab.status().up


def test_without_root_it_says_so() -> None:
    done = subprocess.run(
        ["setpriv", "--reuid=65534", sys.executable, "-c", "from harness import lab; lab.down(print)"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Missing: Could not" in done.stderr
    assert "needs root" in done.stderr
    assert "Run the same command with sudo" in done.stderr
