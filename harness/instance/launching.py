"""Start QEMU on an overlay of the golden disk, plugged into the site's switch."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import lab, nested
from harness.contract import NestedMachine
from harness.instance.place import EFIVARS, MEMORY, MONITOR, OVERLAY
from harness.lab import Place
from harness.nested.accelerator import Accelerator
from harness.nested.qemu import argv as qemu_argv

TAP = "tap-hypervisor"
# QEMU runs as root: what it never needs is taken from it.
SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
# $1 is where the lab keeps pid and start time of a machine; the rest is the command, which keeps both.
_REMEMBERED = """file=$1; shift
read -r stat </proc/self/stat
echo "${stat%% *} $(echo "${stat##*) }" | cut -d " " -f 20)" >"$file.new"
mv "$file.new" "$file"
exec "$@"
"""


@dataclass(frozen=True)
class Launch:
    """What is started, and where what its console says is kept."""

    name: str
    golden: nested.Golden
    machine: NestedMachine
    accelerator: Accelerator
    serial: Path


def start(place: Place, launch: Launch) -> Path:
    """QEMU running in the place's control group and in the switch's network; its machine folder."""
    golden, machine, serial = launch.golden, launch.machine, launch.serial
    folder = place.machines / launch.name
    folder.mkdir(parents=True)
    serial.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    serial.unlink(missing_ok=True)
    overlay = _make_overlay(place, golden)
    efivars = shutil.copyfile(golden.efivars, place.state / EFIVARS) if golden.efivars else None
    _plug_in(place)
    command = qemu_argv(
        machine,
        launch.accelerator,
        disk=overlay,
        efivars=efivars,
        serial=serial,
        netdev=f"tap,ifname={TAP},script=no,downscript=no",
    )
    monitor = ["-chardev", f"socket,id=monitor,path={place.state / MONITOR},server=on,wait=off"]
    monitor += ["-mon", "chardev=monitor,mode=control"]
    (folder / MEMORY).write_text(f"{machine.memory_mib}\n")
    remembering = ["sh", "-euc", _REMEMBERED, "sh", str(folder / "pid")]
    lab.launch(folder, [*lab.at_the_switch(place), *remembering, *command, *SANDBOX, *monitor], place)
    lab.wait_started(folder)
    return folder


def _make_overlay(place: Place, golden: nested.Golden) -> Path:
    overlay = place.state / OVERLAY
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(golden.disk), "-F", "qcow2", str(overlay)]
    lab.run_program(
        make,
        tried="make an overlay of the golden disk",
        do=f"Free space in {place.state}, or remove {golden.folder} and build it anew: ./invoke nested.build",
    )
    overlay.chmod(0o600)
    return overlay


def _plug_in(place: Place) -> None:
    """A port of the switch that QEMU opens as its NIC's other end."""
    inside = lab.at_the_switch(place)
    for command in (
        ["ip", "tuntap", "add", "dev", TAP, "mode", "tap"],
        ["ip", "link", "set", TAP, "master", "lan", "up"],
    ):
        lab.run_program(
            [*inside, *command], tried="plug the nested VM in", do="Look whether /dev/net/tun can be opened here"
        )
