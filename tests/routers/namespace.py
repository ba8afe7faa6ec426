"""A throw-away router: a real dnsmasq in its own network, mount and PID namespaces, with one cable to plug into."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.wait import wait_until
from tests.remote.machine import end

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
SERVER_NIC, CLIENT_NIC = "r0", "c0"

# /etc is copy-on-write in a tmpfs; both ends of the cable are inside, so nothing shows outside.
START = f"""
set -eu
work=$1 files=$2 address=$3
shift 3
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/inner"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$work/upper,workdir=$work/inner" /etc
rm -rf /etc/dnsmasq.d /etc/dnsmasq.conf /etc/mgmt-dnsmasq
for folder in /var/lib/misc /run; do mount -t tmpfs tmpfs "$folder"; done
mount -t proc proc /proc
ip link set lo up
ip link add {SERVER_NIC} type veth peer name {CLIENT_NIC}
ip address add "$address" dev {SERVER_NIC}
ip link set {SERVER_NIC} up
ip link set {CLIENT_NIC} up
cp -r "$files/." /
exec dnsmasq --keep-in-foreground --user=root --log-facility=- --log-dhcp "$@"
"""
NEEDED = {"dnsmasq": "dnsmasq-base", "ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux"}


@dataclass(frozen=True)
class Answered:
    rc: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Namespace:
    """A running router; `pid` is its dnsmasq as this system counts."""

    pid: int
    log: Path

    def run(self, command: str, *, stdin: str | None = None) -> Answered:
        """Run a command on the router, as SSH would."""
        argv = ["nsenter", "-t", str(self.pid), "--net", "--mount", "--pid", "sh", "-c", command]
        environment = {"PATH": os.environ["PATH"]}  # nothing else of ours goes there
        ended = subprocess.run(argv, env=environment, input=stdin or "", capture_output=True, text=True, check=False)
        return Answered(ended.returncode, ended.stdout, ended.stderr)

    def inside(self, function: Callable[[], T]) -> T:
        """Call a function in the router's network; only the thread that runs it goes there."""

        def enter() -> T:
            with Path(f"/proc/{self.pid}/ns/net").open() as network:
                if ctypes.CDLL(None, use_errno=True).setns(network.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            return function()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(enter).result()


def what_is_missing() -> str | None:
    """Why no router can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    absent = {package for tool, package in NEEDED.items() if shutil.which(tool, path=path) is None}
    return f"needs the package {', '.join(sorted(absent))}" if absent else None


@contextmanager
def started_router(folder: Path, files: Mapping[str, str], *arguments: str, address: str) -> Iterator[Namespace]:
    """dnsmasq with these files and arguments, for as long as the block runs."""
    work, laid_out, log = folder / "work", folder / "files", folder / "dnsmasq.log"
    work.mkdir()
    for path, text in files.items():
        target = laid_out / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", START, "sh"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*argv, str(work), str(laid_out), address, *arguments], stderr=output, stdout=output
        ) as process,
    ):
        try:
            yield Namespace(_ready(process, log), log)
        finally:
            end(process)


def _ready(process: subprocess.Popen[bytes], log: Path) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def look() -> tuple[int | None, str]:
        said = log.read_text()
        if process.poll() is not None:
            raise RuntimeError(f"the router did not start: {said}")
        return (
            int(children.read_text().split()[0]) if "dnsmasq: started" in said or ": started, " in said else None
        ), said

    waited = wait_until(look, deadline_s=10)
    assert waited.value is not None, waited.last_seen
    return waited.value
