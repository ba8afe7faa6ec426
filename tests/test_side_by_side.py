"""Workers do not see each other's machines, and a module goes to a worker that can run it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.lab import cgroups
from tests.side_by_side import CONNECTED, NEED_THE_NETWORK, WRAPPER, SideBySide
from tests.site.driver import require_lab


@pytest.fixture
def group() -> Iterator[Path]:
    require_lab()
    mounted = cgroups.mount_point()
    assert mounted is not None
    group = mounted / "mgmt-own-machine"
    yield group
    cgroups.end(group)


def apart(folder: Path, group: Path, script: str, network: str = "own") -> subprocess.CompletedProcess[str]:
    command = [str(WRAPPER), str(folder), str(group / folder.name), network, "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_a_machine_of_its_own_has_nothing_of_this_one(tmp_path: Path, group: Path) -> None:
    script = (
        "mkdir /var/lib/mgmt-lab && rmdir /var/lib/mgmt-lab && ls -d /proc/[0-9]* | wc -l && ls /sys/fs/cgroup/*/mgmt* "
        "2>/dev/null; ip -o link | wc -l; touch $TMPDIR/here; [ -d /var/lib/dpkg ]"
    )
    ended = apart(tmp_path / "one", group, script)
    assert (ended.returncode, ended.stderr) == (0, "")
    processes, links = (int(line) for line in ended.stdout.split())
    assert processes <= 5
    assert links == 1
    assert (tmp_path / "one/tmp/here").exists()
    assert not (tmp_path / "two").exists()


def test_its_processes_and_mounts_end_with_it(tmp_path: Path, group: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    ended = apart(tmp_path / "one", group, "sleep 600 & mount -t tmpfs tmpfs /mnt; exit 3", network="shared")
    assert ended.returncode == 3
    assert list(cgroups.processes(group)) == []
    assert Path("/proc/self/mounts").read_text() == mounts


class Worker:
    """What the scheduler sees of one."""

    def __init__(self, name: str) -> None:
        self.gateway = SimpleNamespace(id=name)
        self.got: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.got += indices

    def shutdown(self) -> None:
        self.shutting_down = True


@pytest.mark.parametrize("names", [("apart1", CONNECTED), ("gw0", "gw1")])
def test_what_needs_the_network_goes_where_it_is(names: tuple[str, str]) -> None:
    option = SimpleNamespace(loadscopereorder=False)
    config = SimpleNamespace(getvalue={"tx": ["2*popen"]}.get, option=option)
    scheduler = SideBySide(config)
    tests = [f"{module}::test_{n}" for module in ("tests/a.py", "tests/b.py", *NEED_THE_NETWORK) for n in range(3)]
    workers = [Worker(name) for name in names]
    for worker in workers:
        scheduler.add_node(worker)
    for worker in workers:
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    while any(not worker.shutting_down for worker in workers):
        for worker in workers:
            if worker.got:
                scheduler.mark_test_complete(worker, worker.got.pop(0))
                ran = {tests[index].partition("::")[0] for index in worker.got}
                assert worker.gateway.id != "apart1" or ran.isdisjoint(NEED_THE_NETWORK)
    assert not scheduler.workqueue
