"""Plug the machine that runs the tool into the lab's switch, over a cable as long as the spec says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.errors import Missing
from harness.lab import cgroups, machines
from harness.lab.commands import run
from harness.lab.links import remove_link
from harness.lab.paths import LAB, Place
from harness.lab.spec import DELAY_S, LabSpec, Latency
from harness.lab.trees import remove_tree

CABLE = "cable"
PORT = "port-tool"
TUN = Path("/dev/net/tun")
DELAYING = Path(__file__).with_name("delaying.py")


def plug_in(spec: LabSpec, latency: Latency, place: Place = LAB) -> None:
    """The link into this machine's network, up and with its address."""
    delay_s = DELAY_S[latency]
    if delay_s:
        _start_carrier(delay_s, place)
    outside = f"/proc/{os.getpid()}/ns/net"
    address = f"{spec.tool_address}/{spec.network.prefixlen}"
    plug = [str(place.bin / "plug"), "tap" if delay_s else "veth", outside, place.link]
    run(
        [*machines.at_the_switch(place), *plug, machines.mac_of(spec.tool_address), address],
        tried="plug this machine into the lab's switch",
        do="Take the lab down and bring it up again: ./invoke lab.down, ./invoke lab.up",
    )


def replug(spec: LabSpec, latency: Latency) -> None:
    """Another cable for a lab that runs on meanwhile."""
    cgroups.end(cgroups.group_named(LAB.group) / CABLE)
    remove_tree(LAB.machines / CABLE)
    remove_link()
    plug_in(spec, latency)


def is_plugged(latency: Latency, place: Place = LAB) -> bool:
    """Whether what carries the frames still runs; a plain cable is the kernel's own."""
    return not DELAY_S[latency] or machines.running(place.machines / CABLE) is not None


def _start_carrier(delay_s: float, place: Place) -> None:
    """It makes both ends in the switch's network; they are gone with it."""
    if not TUN.exists():
        raise Missing(
            tried="put the lab further away",
            on="this machine",
            happened=f"there is no {TUN}",
            do="Load the module: modprobe tun; or do without --latency",
        )
    folder = place.machines / CABLE
    folder.mkdir(parents=True)
    carry = [sys.executable, "-I", str(DELAYING), str(folder), PORT, place.link, str(delay_s)]
    machines.launch(folder, [*machines.at_the_switch(place), *carry], place)
    machines.wait_started(folder)
