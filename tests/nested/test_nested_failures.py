"""What can go wrong with an installation is named and ends it, with nothing left running and the console's log kept."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness import nested
from harness.errors import HarnessError, Invalid, Missing, TimedOut
from harness.nested import NestedSpec
from harness.nested.accelerator import choose
from harness.nested.installing import Bench, install
from harness.nested.medium import prepare
from harness.nested.milestones import PATIENCE_S
from harness.wait import wait_until
from tests.nested.conftest import Lines, Standin
from tests.nested.running import machines_about
from tests.nested.sites import nested_site

ROOT = Path(__file__).parents[2]
Made = Callable[..., NestedSpec]


def failing(spec: NestedSpec, kind: type[HarnessError], **limits: float) -> tuple[HarnessError, str]:
    """How building that ended, and what the kept log of the console holds."""
    with pytest.raises(kind) as raised:
        nested.build(spec, Lines(), limits={**PATIENCE_S, **limits})
    assert raised.value.exit_status == 2
    nothing_is_left(spec)
    kept = re.search(r"[Ii]ts serial log: (\S+)\.", str(raised.value))
    return raised.value, Path(kept[1]).read_text(errors="replace") if kept else ""


def nothing_is_left(spec: NestedSpec) -> None:
    assert machines_about(spec.cache) == []
    assert [entry.name for entry in (spec.cache / "building").iterdir() if entry.is_dir()] == []
    assert nested.find_golden(spec) is None


def test_a_machine_without_a_disk_is_refused_by_the_installer(standin: Standin, tmp_path: Path) -> None:
    """By the command, as a user meets it."""
    inventory = nested_site(tmp_path, standin.iso(no_disk=1))
    ended = command(inventory, tmp_path / "cache")
    said = " ".join(ended.communicate(timeout=600)[1].split())
    assert ended.returncode == 2
    assert "the installer gave up after 'Starting automatic installation'" in said
    assert "disk in 'disk_selection' not found" in said
    assert "Its serial log: " in said
    assert "Traceback" not in said
    assert machines_about(tmp_path) == []


def test_an_answer_the_installer_refuses(standin: Standin, made_site: Made, tmp_path: Path) -> None:
    """Ours are checked before; but an installer may know better."""
    spec = made_site(standin.iso())
    disk, serial, installed, medium = (tmp_path / name for name in ("disk", "serial", "installed", "medium"))
    bench = Bench(tmp_path, disk, serial, installed, medium, efivars=None)
    prepare(standin.iso(), bench.medium, '[global]\nkeybord = "de"\n')
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(bench.disk), "8G"], check=True)
    with pytest.raises(Invalid, match=r"gave up .*Could not parse answer file: missing field `keyboard`"):
        install(spec.machine, choose(), bench, Lines())
    assert machines_about(tmp_path) == []


def test_an_installer_that_stands_still_is_named_by_its_last_milestone(standin: Standin, made_site: Made) -> None:
    """It goes on talking, but says nothing new."""
    spec = made_site(standin.iso(stall_at="Fetching answers"))
    limits = {"Fetching answers for automatic installation": 1.0}
    error, log = failing(spec, TimedOut, **limits)
    assert "nothing new for 6 s after 'Fetching answers for automatic installation' (still at it" in str(error)
    assert "still at it" in log


def test_a_panic_under_uefi_is_known_at_once(standin: Standin, made_site: Made) -> None:
    spec = made_site(standin.iso(panic_at="extracting base system"), firmware="uefi")
    error, log = failing(spec, HarnessError)
    assert "its kernel panicked: sysrq triggered crash" in str(error)
    assert "% extracting base system" in str(error)
    assert "EFI boot mode detected" in log


def test_a_full_disk_of_this_machine_is_called_so(standin: Standin, made_site: Made) -> None:
    spec = made_site(standin.iso(fill_mib=2000))
    with small_file_system(spec.cache, standin.base.stat().st_size * 4 + (48 << 20)):
        error, _ = failing(spec, HarnessError)
    assert "the disk of this machine is full" in str(error)


def test_no_room_is_said_before_anything_is_written(standin: Standin, made_site: Made) -> None:
    spec = made_site(standin.iso())
    with small_file_system(spec.cache, standin.base.stat().st_size * 3):
        error, _ = failing(spec, Missing)
    assert re.search(r"\d+ MiB are free, \d+ MiB are needed: \d+ MiB for the medium", str(error))


@contextmanager
def small_file_system(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_wrong_checksum_and_a_cut_off_iso_start_nothing(standin: Standin, made_site: Made, tmp_path: Path) -> None:
    spec = made_site(standin.iso())
    error, _ = failing(replace(spec, iso=replace(spec.iso, sha256="ab" * 32)), Invalid)
    assert f"its SHA-256 is {spec.iso.sha256}, declared is {'ab' * 32}" in str(error)
    cut = tmp_path / "cut.iso"
    cut.write_bytes(standin.base.read_bytes()[: 20 << 20])
    error, log = failing(replace(spec, iso=replace(spec.iso, file=cut)), Invalid)
    assert f"it is cut off: {20 << 20} of " in str(error)
    assert log == ""


def test_a_password_the_installer_would_refuse_starts_nothing(
    standin: Standin, made_site: Made, tmp_path: Path
) -> None:
    spec = made_site(standin.iso())
    (tmp_path / "keys/root.password").write_text("short\n")
    inventory = tmp_path / "inventory"
    ended = command(inventory, spec.cache)
    said = " ".join(ended.communicate(timeout=60)[1].split())
    assert ended.returncode == 2
    assert "global.root-password: expected at least 8 bytes" in said
    assert not (spec.cache / "building").exists()


def test_a_build_that_is_killed_leaves_no_machine_and_the_next_one_begins_anew(
    standin: Standin, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    inventory = nested_site(tmp_path, standin.iso())
    running = command(inventory, cache)
    assert wait_until(lambda: (machines_about(cache) or None, "no machine"), deadline_s=60).value
    running.kill()
    running.communicate()
    gone = wait_until(lambda: (True if not machines_about(cache) else None, "still there"), deadline_s=10)
    assert gone.value
    again = command(inventory, cache)
    assert wait_until(lambda: (machines_about(cache) or None, "no machine"), deadline_s=60).value
    again.send_signal(signal.SIGINT)
    assert again.wait(timeout=30) == 130
    assert machines_about(cache) == []
    assert [entry.name for entry in (cache / "building").iterdir() if entry.is_dir()] == []
    again.communicate()


def command(inventory: Path, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "invoke", "nested.build", "--inventory", str(inventory)],
        cwd=ROOT,
        env={**os.environ, "MGMT_NESTED_CACHE": str(cache), "HARNESS_NO_INSTALL": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
