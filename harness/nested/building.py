"""Build the golden disk of a nested hypervisor, once for each set of inputs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from harness.answer import check_answer, render_answer
from harness.errors import HarnessError, Invalid
from harness.nested import qemu
from harness.nested.accelerator import choose
from harness.nested.fetching import obtain
from harness.nested.golden import (
    DISK,
    EFIVARS,
    INSTALLED,
    MANIFEST,
    SERIAL,
    Golden,
    find_golden,
    folder_of,
    golden_key,
    read_installed,
)
from harness.nested.installing import HOOK_URL, TRIED, Bench, install
from harness.nested.medium import prepare
from harness.nested.milestones import PATIENCE_S
from harness.nested.programs import require, run
from harness.nested.room import require_disk, require_memory, warn_of_processors
from harness.nested.spec import NestedSpec, Progress
from harness.nested.turns import one_at_a_time

MEDIUM = "installer.iso"
# What an installed system takes of the virtual disk, in sizes of the medium it came from.
INSTALLED_TIMES = 3


def build(spec: NestedSpec, progress: Progress, *, limits: Mapping[str, float] = PATIENCE_S) -> Golden:
    """The golden disk of that spec; nothing is done when it is there. `limits` are as in milestones.PATIENCE_S."""
    answer = _answer(spec)
    for kind in ("golden", "building", "failed"):
        (spec.cache / kind).mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear_abandoned(spec.cache / "building")
    with one_at_a_time(folder_of(spec, "building").with_suffix(".lock"), tried="build the golden disk"):
        if golden := find_golden(spec):
            progress.say(f"The golden disk is there: {golden.disk}")
            return golden
        _build(spec, answer, progress, limits)
    golden = find_golden(spec)
    assert golden is not None  # noqa: S101 - it was just made
    progress.say(f"The golden disk is done: {golden.disk}, Proxmox VE {golden.installed.product_version}")
    return golden


def _answer(spec: NestedSpec) -> str:
    """The text of answer.toml; refused here rather than by an installer that cannot ask."""
    secret = {"root_password": spec.password.reveal(), "root_ssh_keys": [spec.public_key]}
    tables = dict(spec.answer)
    tables["global"] = {**tables.get("global", {}), **secret}
    tables["post_installation_webhook"] = {"url": HOOK_URL}
    text = render_answer(tables)
    if mistakes := check_answer(text):
        raise Invalid(
            tried="write the installer's answer file",
            on=f"site {spec.site}",
            happened="; ".join(mistakes),
            do="Correct mgmt_nested.answer, or the password or key the inventory refers to",
        )
    return text


def _build(spec: NestedSpec, answer: str, progress: Progress, limits: Mapping[str, float]) -> None:
    require(spec.machine.firmware, tried=TRIED)
    accelerator = choose()
    if accelerator.warning:
        progress.say(accelerator.warning)
    require_memory(spec.machine, tried=TRIED)
    warn_of_processors(spec.machine, progress)
    iso = obtain(spec.iso, spec.cache / "iso", progress)
    folder = _fresh(folder_of(spec, "building"))
    bench = _bench(spec, folder)
    started = time.monotonic()
    try:
        size = iso.stat().st_size
        require_disk(folder, {"the medium": size, "the new system": INSTALLED_TIMES * size}, tried=TRIED)
        progress.say("Preparing the medium")
        prepare(iso, bench.medium, answer)
        _make_disk(spec, bench)
        progress.say("Installing")
        install(spec.machine, accelerator, bench, progress, limits=limits)
        _keep(spec, bench, {"accelerator": accelerator.name, "seconds": round(time.monotonic() - started, 1)})
    except HarnessError as error:
        raise _with_log_kept(spec, bench, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bench(spec: NestedSpec, folder: Path) -> Bench:
    return Bench(
        folder=folder,
        disk=folder / DISK,
        serial=folder / SERIAL,
        installed=folder / INSTALLED,
        medium=folder / MEDIUM,
        efivars=folder / EFIVARS if spec.machine.firmware == "uefi" else None,
    )


def _make_disk(spec: NestedSpec, bench: Bench) -> None:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", str(bench.disk), f"{spec.machine.disk_gib}G"]
    run(argv, tried="make the virtual disk", on=str(bench.disk), do="Look at the disk of this machine")
    if bench.efivars:
        shutil.copyfile(qemu.EFIVARS, bench.efivars)


def _keep(spec: NestedSpec, bench: Bench, how: dict[str, object]) -> None:
    """The folder appears under its name when all of it is on the disk."""
    installed = read_installed(bench.installed)
    wanted = spec.answer["global"]["fqdn"]
    if installed.fqdn != wanted:
        happened = f"the installer made {installed.fqdn}, and {wanted} was asked for"
        raise HarnessError(
            tried=TRIED, on="the virtual machine", happened=happened, do="Compare it with mgmt_nested.answer"
        )
    manifest = {
        "site": spec.site,
        "key": golden_key(spec),
        "iso": {"source": spec.iso.source, "sha256": spec.iso.sha256},
        "machine": asdict(spec.machine),
        "fqdn": installed.fqdn,
        "product": installed.product_version,
        **how,
    }
    for name in (MEDIUM, *(file.name for file in bench.folder.glob("medium-*")), "grub.cfg", "qemu.log"):
        (bench.folder / name).unlink(missing_ok=True)
    (bench.folder / MANIFEST).write_text(json.dumps(manifest, indent=2))
    bench.disk.chmod(0o444)
    for file in bench.folder.iterdir():
        _to_disk(file)
    golden = folder_of(spec, "golden")
    shutil.rmtree(golden, ignore_errors=True)
    bench.folder.rename(golden)


def _to_disk(file: Path) -> None:
    """QEMU was told not to care: until now a power cut could have cost nothing but time."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _with_log_kept(spec: NestedSpec, bench: Bench, error: HarnessError) -> HarnessError:
    """The same error, naming the log where it is from now on."""
    if not bench.serial.exists():
        return error
    bench.disk.unlink(missing_ok=True)  # where the file system is full, the log's folder needs room
    kept = _fresh(folder_of(spec, "failed")) / SERIAL
    bench.serial.rename(kept)
    do = error.do.replace(str(bench.serial), str(kept))
    if str(kept) not in do:
        do = f"{do}; its serial log: {kept}"
    return type(error)(tried=error.tried, on=error.on, happened=error.happened, do=do)


def _clear_abandoned(building: Path) -> None:
    """What killed builds left, of whatever inputs: nobody holds their locks."""
    for folder in [entry for entry in building.iterdir() if entry.is_dir()]:
        with folder.with_suffix(".lock").open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _fresh(folder: Path) -> Path:
    """Empty: what a killed run left there is worth nothing."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700, parents=True)
    return folder
