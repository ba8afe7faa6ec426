"""Run the programs a nested hypervisor needs, and say which packages bring those that are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import HarnessError, Missing

ON = "this machine"
# Program, or file with a leading slash -> Debian package
PACKAGES: Mapping[str, str] = {
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "slirp4netns": "slirp4netns",
    "ssh-keygen": "openssh-client",
    "xorriso": "xorriso",
}
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
UEFI_PACKAGES: Mapping[str, str] = {OVMF: "ovmf"}


def missing_packages(firmware: str = "bios") -> list[str]:
    """The Debian packages that building and starting need and that are not here."""
    wanted = {**PACKAGES, **(UEFI_PACKAGES if firmware == "uefi" else {})}
    return sorted({package for name, package in wanted.items() if not is_here(name)})


def require(firmware: str, *, tried: str) -> None:
    """Raise Missing with the one command that brings what is not here."""
    if packages := missing_packages(firmware):
        raise Missing(
            tried=tried,
            on=ON,
            happened=f"not installed: {', '.join(packages)}",
            do=f"apt-get install -y --no-install-recommends {' '.join(packages)}",
        )


def run(argv: Sequence[str], *, tried: str, on: str, do: str) -> str:
    """The output of a program that ends with us."""
    done = subprocess.run(ending_with_us(argv), capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise HarnessError(tried=tried, on=on, happened=f"{argv[0]} said: {_last_lines(done.stderr)}", do=do)
    return done.stdout


def ending_with_us(argv: Sequence[str]) -> list[str]:
    """Also when we are killed: nobody would look for what is left."""
    return ["setpriv", "--pdeathsig", "KILL", *argv]


def is_here(name: str) -> bool:
    """A program on the path (or where root's are), or a file with a leading slash."""
    if name.startswith("/"):
        return Path(name).exists()
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which(name, path=path) is not None


def _last_lines(text: str, count: int = 3) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "nothing"
