"""Say what this machine lacks to run the lab, and the one command that brings it."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Missing
from harness.lab import cgroups
from harness.lab.commands import environment

# Program -> Debian package
PROGRAMS = {
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}


@dataclass(frozen=True)
class Lack:
    """One thing this machine lacks; `do` is what brings it."""

    what: str
    do: str


NEEDS_ROOT = Lack("the lab needs root on Linux for its namespaces", "Run the same command with sudo")
# A systemd with its services takes seven of them; a lab with ten guests has twelve.
WATCHES = 90


def missing_requirements() -> list[Lack]:
    """Everything that keeps the lab from running here; empty when it can."""
    if platform.system() != "Linux":
        return [Lack(f"the lab needs Linux; this is {platform.system()}", "Run it in a Debian 12 virtual machine")]
    return [*_missing_programs(), *_missing_rights()]


def require() -> None:
    """Raise Missing with the first steps to take when the lab cannot run here."""
    lacks = missing_requirements()
    if lacks:
        raise Missing(
            tried="bring the lab up",
            on="this machine",
            happened="; ".join(lack.what for lack in lacks),
            do="; then ".join(lack.do for lack in lacks),
        )


def missing_packages() -> list[str]:
    """The Debian packages whose programs are not here."""
    return sorted({PROGRAMS[program] for program in _absent()})


def require_root(*, tried: str) -> None:
    """Raise Missing unless this is root on Linux: enough to look at the lab and to take it down."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise Missing(tried=tried, on="this machine", happened=NEEDS_ROOT.what, do=NEEDS_ROOT.do)


def _missing_programs() -> Iterator[Lack]:
    absent = _absent()
    if absent:
        packages = " ".join(missing_packages())
        yield Lack(f"not installed: {', '.join(absent)}", f"apt-get install -y --no-install-recommends {packages}")


def _absent() -> list[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


def _missing_rights() -> Iterator[Lack]:
    if os.geteuid() != 0:
        yield NEEDS_ROOT
        return
    if cgroups.mount_point() is None:
        yield Lack("no cgroup2 file system is mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    elif _kernel() < (5, 14):  # cgroup.kill, and overlayfs that keeps its promises
        yield Lack(f"kernel {platform.release()} is too old", "Use a kernel of at least 5.14 (Debian 12 has 6.1)")
    if "overlay" not in Path("/proc/filesystems").read_text() and not _succeeds("modprobe", "overlay"):
        yield Lack("this kernel has no overlayfs", "Use a kernel with overlayfs (Debian's has it)")
    if _installed("unshare") and not _succeeds("unshare", "--net", "--mount", "--pid", "--fork", "true"):
        yield Lack("namespaces cannot be made here", "Run outside an unprivileged container")
    elif _installed("ip") and not _succeeds("unshare", "--net", "ip", "link", "add", "x", "type", "veth"):
        yield Lack("virtual Ethernet links cannot be made here", "Use a kernel with veth (Debian's has it)")
    if cgroups.mount_point() is not None:
        yield from _missing_watches()


def _missing_watches() -> Iterator[Lack]:
    """inotify instances are counted per user over all namespaces, and Debian allows few. The lab's own are no lack."""
    if cgroups.lab_group().exists():
        return
    if (lack := too_few_watches()) is not None:
        yield lack


def too_few_watches(labs: int = 1) -> Lack | None:
    """What keeps so many labs with ten guests each from running here together."""
    needed = labs * WATCHES
    free = _free_watches(needed)
    if free >= needed:
        return None
    takes = f"a lab with ten guests takes {WATCHES}" if labs == 1 else f"{labs} labs with ten guests take {needed}"
    return Lack(f"root has only {free} inotify instances left and {takes}", "sysctl fs.inotify.max_user_instances=512")


def _free_watches(needed: int) -> int:
    """How many this user can still make, up to what is needed: found by making them."""
    libc = ctypes.CDLL(None)
    made: list[int] = []
    while len(made) < needed and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
        made.append(descriptor)
    for descriptor in made:
        os.close(descriptor)
    return len(made)


def _kernel() -> tuple[int, int]:
    major, minor = platform.release().split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()))


def _installed(program: str) -> bool:
    return shutil.which(program, path=environment()["PATH"]) is not None


def _succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, check=False, env=environment()).returncode == 0
    except FileNotFoundError:
        return False
