"""Make the lab's hypervisor look like the documented machine, to those who log in and to PVE's API alike.

What the lab cannot have is waived in its inventory, and a waived clause proves nothing. Here nothing is waived: the
inventory declares the documented hardware and a Fedora template, and the hypervisor shows them. Those who log in, and
the simulator, see files of ours in the places where the kernel would tell them of this machine.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.inventory.models import RESPONSIBILITIES
from tests.faults.bench import HYPERVISOR, root, run

FOLDER = "/srv/machine"
KEPT = ("metrics-vm01", "factory-vm01", "oob-vm01", "scratch-vm01")
MEMORY_KIB = 31 * 2**20  # of 32 GiB; the rest is kept back by firmware and graphics
FLAGS = "fpu vme de pse tsc msr pae mce vmx sse sse2 ht syscall nx lm"
MODEL, PRODUCT = "Intel(R) Core(TM) i7-6700T CPU @ 2.80GHz", "OptiPlex 7050"
NIC = "00:1f.6 Ethernet controller: Intel Corporation Ethernet Connection (5) I219-LM (rev 31)"
SECTORS = 1000204886016 // 512

LSCPU = f"""\
Architecture:        x86_64
CPU(s):              8
Model name:          {MODEL}
Thread(s) per core:  2
Core(s) per socket:  4
Socket(s):           1
Flags:               {FLAGS}
"""
LSBLK = json.dumps(
    {"blockdevices": [{"name": "nvme0n1", "type": "disk", "size": SECTORS * 512, "rota": False}]}, indent=1
)
CPUINFO = "".join(
    f"processor\t: {number}\nmodel name\t: {MODEL}\ncpu MHz\t\t: 2800.000\nphysical id\t: 0\ncpu cores\t: 4\n"
    f"flags\t\t: {FLAGS}\n\n"
    for number in range(8)
)
# Those who log in see the files on the left in the places on the right; so does the simulator with its own.
SSH = {"meminfo": "/proc/meminfo", "class": "/sys/class", "module": "/sys/module"}
API = {"meminfo": "/proc/meminfo", "cpuinfo": "/proc/cpuinfo", "block": "/sys/block"}
KVM = "ln -s null /dev/kvm"  # it can be opened, and that is all that is asked of it
NO_KVM = "rm /dev/kvm"


def declare(inventory: Path, target: Path) -> None:
    """The lab's inventory with the documented hardware, a Fedora template, and no waiver.

    Three VMs, one of each category, keep every promise as ten do, and are looked at in a third of the time.
    """
    shutil.copytree(inventory / "lab", target / "lab")
    site = target / "lab/group_vars/all/mgmt.yml"
    _edit(site, r"(?ms)^mgmt_waivers:.*\Z", "mgmt_waivers: []\n")
    others = [file.stem for file in (target / "lab/host_vars").glob("*-vm01.yml") if file.stem not in KEPT]
    carried = ("metrics", "image-factory", "out-of-band")
    planned = ", ".join(f"{name}: in the whole lab" for name in RESPONSIBILITIES if name not in carried)
    _edit(site, r"(?m)^  core_router:", f"  planned: {{{planned}}}\n  core_router:")
    for name in others:
        (target / f"lab/host_vars/{name}.yml").unlink()
    _edit(target / "lab/hosts.yml", rf"(?m)^ +({'|'.join(others)}): {{}}\n", "", count=len(others))
    host = target / "lab/host_vars/hv01.yml"
    _edit(
        host,
        r"nic: \{speed_mbit: 1000\}",
        f"nic: {{speed_mbit: 1000, model: I219-LM}}\n    product: {PRODUCT}\n"
        "    cpu: {model: i7-6700T, cores: 4, threads: 8}",
    )
    _edit(host, r"name: debian-lab-12", "name: fedora-lab-43")
    _edit(host, r"os: debian", "os: fedora")


def _edit(file: Path, pattern: str, new: str, *, count: int = 1) -> None:
    text, found = re.subn(pattern, new, file.read_text())
    assert found == count, f"{file} has {found} times {pattern}"
    file.write_text(text)


def disguise() -> None:
    """Put the files there, and start sshd and the API with them."""
    folder = root(HYPERVISOR) / FOLDER[1:]
    for name, text in _files().items():
        _write(folder / name, text)
    _network(folder / "class/net")
    for tool, shown in {"lscpu": "lscpu", "lsblk": "lsblk", "lspci": "lspci"}.items():
        program = root(HYPERVISOR) / "usr/local/bin" / tool
        _write(program, f"#!/bin/sh\nexec cat {FOLDER}/{shown}\n")
        program.chmod(0o755)
    for unit, places in {"ssh": SSH, "pveproxy": API}.items():
        binds = "".join(f"BindReadOnlyPaths={FOLDER}/{source}:{target}\n" for source, target in places.items())
        drop_in = root(HYPERVISOR) / f"etc/systemd/system/{unit}.service.d/machine.conf"
        _write(drop_in, f"[Service]\n{binds}")
    run(HYPERVISOR, f"{KVM}; systemctl daemon-reload; systemctl restart ssh pveproxy")


def _files() -> Mapping[str, str]:
    meminfo = re.sub(
        r"(?m)^(MemTotal|MemFree|MemAvailable):.*", rf"\1: {MEMORY_KIB} kB", Path("/proc/meminfo").read_text()
    )
    return {
        "meminfo": meminfo,
        "cpuinfo": CPUINFO,
        "lscpu": LSCPU,
        "lsblk": LSBLK,
        "lspci": f"{NIC}\n",
        "class/dmi/id/product_name": f"{PRODUCT}\n",
        "module/kvm_intel/parameters/nested": "N\n",
        "block/nvme0n1/size": f"{SECTORS}\n",
        "block/nvme0n1/queue/rotational": "0\n",
    }


def _network(folder: Path) -> None:
    """The links as they are, but for the bridge's port: that one is hardware."""
    folder.mkdir(parents=True)
    for name in run(HYPERVISOR, "ls /sys/class/net").split():
        (folder / name).symlink_to(f"/sys/devices/virtual/net/{name}")
    (folder / "eno1").unlink()
    for name, text in {"operstate": "up", "speed": "1000", "device/vendor": "0x8086"}.items():
        _write(folder / "eno1" / name, f"{text}\n")


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
