"""The stand-in for the installer's medium, and a golden disk that was made of it; each is made once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import nested
from harness.commands.nested import make_credentials, spec_of
from harness.nested import Golden, NestedSpec
from harness.site import open_contract
from tests.nested.sites import nested_site
from tests.nested.standin import image

ROOT = Path(__file__).parents[2]


class Lines:
    """What a long run says, for tests to read."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shares: dict[str, float] = {}

    def say(self, text: str) -> None:
        self.said.append(text)

    def share(self, what: str, done: float) -> None:
        self.shares[what] = done


@dataclass(frozen=True)
class Built:
    """A golden disk with the inventory it was built from."""

    inventory: Path
    spec: NestedSpec
    golden: Golden
    lines: Lines


@dataclass(frozen=True)
class Standin:
    """Media that behave as the installer's does, or misbehave as they are told (standin/tree/lib/standin/live)."""

    base: Path
    folder: Path

    def iso(self, **behaviour: str | int) -> Path:
        if not behaviour:
            return self.base
        name = "-".join(f"{key}.{value}".replace(" ", "") for key, value in behaviour.items())
        made = self.folder / f"{name}.iso"
        if not made.exists():
            told = self.folder / f"{name}.cfg"
            told.write_text("".join(f"{key.upper()}='{value}'\n" for key, value in behaviour.items()))
            shutil.copyfile(self.base, made)
            command = ["xorriso", "-stdio_sync", "off", "-boot_image", "any", "keep", "-dev", str(made)]
            command += ["-map", str(told), "/standin.cfg", "-commit"]
            subprocess.run(command, check=True, capture_output=True)
        return made


@pytest.fixture(scope="session")
def base_iso() -> Path:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        pytest.skip("the stand-in for the installer is made on Linux on x86-64")
    if lacking := [*image.missing_packages(), *nested.missing_packages("uefi")]:
        pytest.skip(f"not installed: apt-get install -y --no-install-recommends {' '.join(lacking)}")
    if os.geteuid() != 0:
        pytest.skip("the stand-in for the installer is made by root: device files are in it")
    return image.medium()


@pytest.fixture(scope="session")
def standin(base_iso: Path, tmp_path_factory: pytest.TempPathFactory) -> Standin:
    return Standin(base_iso, tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def golden(base_iso: Path) -> Built:
    """Kept from one run to the next for as long as neither the stand-in nor what installs it changes."""
    code = hashlib.sha256(base_iso.name.encode())
    for file in sorted([*(ROOT / "harness/nested").glob("*.py"), *(ROOT / "harness/answer").glob("*.py")]):
        code.update(file.read_bytes())
    folder = image.CACHE / f"nested-{code.hexdigest()[:12]}"
    with alone(image.CACHE / "nested.lock"):
        for old in image.CACHE.glob("nested-*"):
            if old != folder:
                shutil.rmtree(old)
        if not (folder / "inventory").exists():
            nested_site(folder, base_iso)
    with cached_in(folder / "cache"):
        contract = open_contract(folder / "inventory", "nested")
        with alone(image.CACHE / "nested.lock"):
            make_credentials(contract)
        spec, lines = spec_of(contract), Lines()
    return Built(folder / "inventory", spec, nested.build(spec, lines), lines)


@pytest.fixture
def made_site(tmp_path: Path) -> Callable[..., NestedSpec]:
    """What nested.build is given for a site with that medium; its cache is the test's own."""

    def make(iso: Path, **machine: int | str) -> NestedSpec:
        with cached_in(tmp_path / "cache"):
            contract = open_contract(nested_site(tmp_path, iso, **machine), "nested")
            make_credentials(contract)
            return spec_of(contract)

    return make


@contextmanager
def cached_in(folder: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MGMT_NESTED_CACHE", str(folder))
        yield


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
