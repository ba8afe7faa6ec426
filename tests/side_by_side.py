"""Run all tests on several machines at once, as one pytest: `python -m tests.side_by_side [arguments for pytest]`.

Most tests with a lab wait for it, and a machine carries one lab. So each worker of pytest-xdist gets what looks like
a machine of its own (own_machine.sh). Where that cannot be, pytest runs them one after another, and it is said why.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from harness import lab
from harness.errors import HarnessError, Unsafe
from harness.lab import cgroups, requirements
from tests.nested.standin import image

ROOT = Path(__file__).parent.parent
WRAPPER = Path(__file__).with_name("own_machine.sh")
MACHINES = 3  # on two cores: most of the time they wait
FOLDER = Path("/var/lib/mgmt-tests")
TEMPORARY = Path("/run/mgmt-tests")  # each machine sees its own there
LOCK = Path("/run/mgmt-tests.lock")
# The one worker that shares this machine's network, and the modules that ask the package index or a mirror.
CONNECTED = "connected"
NEED_THE_NETWORK = ("tests/test_invoke.py", "tests/lab/test_lifecycle.py", "tests/nested/test_nested_image.py")


class SideBySide(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells no types
    """A module stays on one worker, and one that needs the network goes where there is one.

    Without machines of their own (`pytest -n 2`) all workers have the same network.
    """

    def _assign_work_unit(self, node: WorkerController) -> None:
        suiting = (unit for unit in self.workqueue if (unit in NEED_THE_NETWORK) != self._is_apart(node))
        if unit := next(suiting, None):
            self.workqueue.move_to_end(unit, last=False)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        """What is left may be nothing for this one."""
        if self.workqueue and self._is_apart(node) and set(self.workqueue) <= set(NEED_THE_NETWORK):
            node.shutdown()
            return
        super()._reschedule(node)

    def _is_apart(self, node: WorkerController) -> bool:
        return node.gateway.id != CONNECTED and any(other.gateway.id == CONNECTED for other in self.nodes)


def main(arguments: list[str]) -> int:
    """The exit status of pytest; 2 when the labs could not be prepared."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each worker would compile all tests for itself
    if lack := _alone_because():
        print(f"All tests run one after another: {lack}", flush=True)
        return _pytest(*arguments)
    try:
        with _machines() as machines:
            lab.down(print)  # one that a killed run left
            lab.build(print)  # where there is a network
            if not image.missing_packages():
                image.fetch_kernel()
            return _pytest("--dist=loadscope", "--no-loadscope-reorder", *machines, *arguments)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode


def _alone_because() -> str | None:
    lacks = lab.missing_requirements() or filter(None, [requirements.too_few_watches(MACHINES)])
    return "; ".join(f"{lack.what} ({lack.do})" for lack in lacks) or None


@contextmanager
def _machines() -> Iterator[list[str]]:
    """pytest's arguments for the workers; nothing of their machines is left afterwards."""
    mounted = cgroups.mount_point()
    assert mounted is not None, "a requirement of the lab"
    group = mounted / FOLDER.name
    with os.fdopen(os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o644)) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unsafe(
                tried="run all tests",
                on="this machine",
                happened="somebody runs them already",
                do=f"Wait until that run ends: fuser {LOCK} names its process",
            ) from None
        _clear(group)  # a killed run left it
        try:
            yield [f"--tx={_worker(number, group)}" for number in range(MACHINES)]
        finally:
            _clear(group)


def _worker(number: int, group: Path) -> str:
    """As execnet spells it."""
    name = f"apart{number}" if number else CONNECTED
    network = "own" if number else "shared"
    command = [str(WRAPPER), str(FOLDER / name), str(group / name), network, sys.executable]
    return f"popen//id={name}//python={shlex.join(command)}"


def _clear(group: Path) -> None:
    cgroups.end(group)
    for folder in (FOLDER, TEMPORARY):
        if folder.exists():
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
