"""Build the lab's package repository with the stand-ins for PVE's packages, and the hypervisor's installed state."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.lab import cgroups
from harness.lab.commands import run
from harness.lab.paths import CACHE, FILES
from harness.lab.spec import HypervisorState
from harness.lab.trees import digest_of, write_tree

# The ISO called 8.4-1 holds 8.4.0.
INSTALLED: Mapping[HypervisorState, str] = {"installed": "8.4.0", "bootstrapped": "8.4.1"}
# The first sixteen digits of the commit the real package was made from; 8.4.5 stands for "any newer one".
REPOIDS = {"8.4.0": "ec58e45e1bcdf2ac", "8.4.1": "2a5fa54a8503f96d", "8.4.5": "0000000000000845"}


def ensure_packages() -> Path:
    """The folder of the repository: one flat repository that apt reads by file: and http:."""
    folder = CACHE / f"packages-{digest_of([repr(REPOIDS), Path(__file__).read_text()], FILES / 'pve-manager')}"
    if not folder.exists():
        unfinished = CACHE / f"unfinished-{folder.name}"
        unfinished.mkdir(parents=True)
        build_repository(unfinished)
        unfinished.rename(folder)
    return folder


def hypervisor_layer(state: HypervisorState, rootfs: Path, packages: Path) -> Path:
    """Where `ensure_hypervisor_layer` keeps what it builds."""
    return CACHE / f"{state}-{digest_of([rootfs.name, packages.name, Path(__file__).read_text()], FILES / 'build')}"


def ensure_hypervisor_layer(
    state: HypervisorState, rootfs: Path, packages: Path, progress: Callable[[str], None]
) -> Path:
    """What lies over the Debian tree of a hypervisor: pve-manager installed, and held when it is bootstrapped."""
    layer = hypervisor_layer(state, rootfs, packages)
    if not layer.exists():
        version = INSTALLED[state]
        progress(f"Installing the stand-in pve-manager {version} (once)")
        unfinished = CACHE / f"unfinished-{layer.name}"
        unfinished.mkdir(parents=True)
        arguments = [version, str(rootfs), str(packages), str(unfinished), state]
        run(
            ["unshare", "--mount", "--propagation", "private", str(FILES / "build/install-pve-manager"), *arguments],
            tried="install the stand-in packages",
            do="Run the same command again; `lab.down` removes what it left",
            cgroup=cgroups.make_group("build"),
        )
        (unfinished / "upper").rename(layer)
        shutil.rmtree(unfinished)
    return layer


def build_repository(folder: Path) -> None:
    """A flat apt repository of the stand-ins, as `deb file:FOLDER ./` wants it."""
    for version, repoid in REPOIDS.items():
        tree = folder / "tree"
        write_tree(FILES / "pve-manager", tree, {"VERSION": version, "REPOID": repoid})
        run(
            ["dpkg-deb", "--root-owner-group", "--build", str(tree), str(folder / f"pve-manager_{version}_all.deb")],
            tried="build the stand-in packages",
            do="Check that dpkg works on this machine",
        )
        shutil.rmtree(tree)
    index = "\n".join(_index_entry(package) for package in sorted(folder.glob("*.deb")))
    (folder / "Packages").write_text(index)
    digest = hashlib.sha256(index.encode()).hexdigest()
    (folder / "Release").write_text(
        "Origin: mgmt-lab\nLabel: mgmt-lab\nArchitectures: all amd64\n"
        f"Date: Thu, 10 Apr 2025 17:07:00 UTC\nSHA256:\n {digest} {len(index.encode())} Packages\n"
    )


def _index_entry(package: Path) -> str:
    control = run(["dpkg-deb", "--field", str(package)], tried="read a stand-in package", do="Run it again")
    content = package.read_bytes()
    return (
        f"{control.rstrip()}\nFilename: ./{package.name}\nSize: {len(content)}\n"
        f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
    )
