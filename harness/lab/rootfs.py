"""Build the one Debian tree every machine of the lab stands on, once per recipe."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.errors import Missing
from harness.lab import cgroups
from harness.lab.commands import run
from harness.lab.paths import CACHE, FILES
from harness.lab.trees import digest_of, write_tree

SUITE = "bookworm"
UNUSED_PATHS = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
# Wanted by Debian's own files; without them these units start when somebody asks for them over D-Bus.
NOT_WANTED = ("systemd-logind.service",)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def ensure_rootfs(progress: Callable[[str], None]) -> Path:
    """The tree's folder, built now when this recipe has not been built before."""
    rootfs = CACHE / f"rootfs-{_key()}"
    if not rootfs.exists():
        progress("Building the lab's Debian tree (about a minute, once)")
        unfinished = CACHE / f"unfinished-{rootfs.name}"
        _build(unfinished)
        unfinished.rename(rootfs)
    return rootfs


def _key() -> str:
    recipe = (Path(__file__), *(FILES / "build" / name for name in ("packages", "masked-units", "disabled-units")))
    return digest_of([path.read_text() for path in recipe], FILES / "rootfs")


def _listed(name: str) -> list[str]:
    lines = (FILES / "build" / name).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def _build(target: Path) -> None:
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=apt",
            f"--include={','.join(_listed('packages'))}",
            *(f"--dpkgopt=path-exclude={path}" for path in UNUSED_PATHS),
            "--dpkgopt=force-unsafe-io",
            SUITE,
            str(target),
            *debian_sources(),
        ],
        tried="build the lab's Debian tree",
        do="Check that `apt-get update` works on this machine, then run the same command again",
        cgroup=cgroups.make_group("build"),
    )
    _make_neutral(target)


def debian_sources() -> list[str]:
    """Where this machine itself gets Debian from, as lines of apt's for Debian 12."""
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    codename = _codename()
    fields = "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)"
    listed = run(
        ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"],
        tried="read the apt sources",
        do="Check /etc/apt",
    )
    wanted = {codename, f"{codename}-updates", f"{codename}-security"}
    lines = set()
    for entry in listed.splitlines():
        origin, component, uri, release = entry.split()[:4]
        if origin == "Debian" and component == "main" and release in wanted:
            lines.add(f"deb {signed}{uri} {release.replace(codename, SUITE, 1)} main")
    if not lines:
        raise Missing(
            tried="find a Debian mirror",
            on="this machine",
            happened=f"its apt sources have no index of Debian {codename}",
            do="Run apt-get update on a Debian machine, then the same command again",
        )
    return sorted(lines)


def _codename() -> str:
    release = dict(line.partition("=")[::2] for line in Path("/etc/os-release").read_text().splitlines())
    return release.get("VERSION_CODENAME", SUITE).strip('"')


def _make_neutral(tree: Path) -> None:
    """Take out what machines must not share and what points outside the lab."""
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").write_text("")
    for name in ("etc/resolv.conf", "etc/hostname", "etc/apt/sources.list"):
        (tree / name).unlink(missing_ok=True)
    for folder in ("etc/apt/sources.list.d", "var/lib/apt/lists", "var/cache/apt"):
        shutil.rmtree(tree / folder)
        (tree / folder).mkdir()
    for unit in NOT_WANTED:
        (tree / "lib/systemd/system/multi-user.target.wants" / unit).unlink()
    for unit in _listed("disabled-units"):
        for wish in (tree / "etc/systemd/system").glob("*.wants/*"):
            if wish.name == unit:  # a link to what only this tree has
                wish.unlink()
    for unit in _listed("masked-units"):
        mask = tree / "etc/systemd/system" / unit
        mask.unlink(missing_ok=True)
        mask.symlink_to("/dev/null")
    write_tree(FILES / "rootfs", tree, {})
    # apt takes the folder's age for the age of the lists and would skip the first update.
    os.utime(tree / "var/lib/apt/lists", (0, 0))
