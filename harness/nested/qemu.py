"""Write the command line of the virtual machine that the hypervisor is."""

from __future__ import annotations

from pathlib import Path

from harness.contract import NestedMachine
from harness.nested.accelerator import Accelerator
from harness.nested.programs import OVMF

EFIVARS = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

# Machine and places are those that Proxmox VE itself gives its VMs. The NIC's name comes from its place (ens18), and
# the installer writes that name down.
MACHINE = "pc"
DISK_PLACE = "0xa"
NIC_PLACE = "0x12"


def argv(
    machine: NestedMachine,
    accelerator: Accelerator,
    *,
    disk: Path,
    serial: Path,
    netdev: str,
    efivars: Path | None = None,
    medium: Path | None = None,
) -> list[str]:
    """Everything but the monitor. `netdev` is without its id; what the machine writes is appended to `serial`."""
    return [
        "qemu-system-x86_64",
        *("-nodefaults", "-no-user-config", "-display", "none", "-vga", "std"),
        *("-machine", MACHINE, *_processor(accelerator), "-smp", str(machine.cores), "-m", str(machine.memory_mib)),
        *(_firmware(efivars) if efivars else ()),
        *("-chardev", f"file,id=console,append=on,path={quoted(serial)}", "-serial", "chardev:console"),
        *("-drive", f"if=none,id=disk,format=qcow2,cache=unsafe,discard=unmap,file={quoted(disk)}"),
        *("-device", f"virtio-blk-pci,drive=disk,addr={DISK_PLACE},bootindex=2"),
        *(_medium(medium) if medium else ()),
        *("-netdev", f"{netdev},id=lan"),
        *("-device", f"virtio-net-pci,netdev=lan,mac={machine.mac},addr={NIC_PLACE},romfile="),
        *("-object", "rng-random,id=entropy,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=entropy"),
    ]


def _processor(accelerator: Accelerator) -> tuple[str, ...]:
    """With KVM the host's own, which brings vmx or svm along: the VMs inside want to run at full speed, too."""
    if accelerator.name == "kvm":
        return ("-accel", "kvm", "-cpu", "host")
    return ("-accel", "tcg,thread=multi", "-cpu", "max")


def _firmware(efivars: Path) -> tuple[str, ...]:
    code = f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF}"
    return ("-drive", code, "-drive", f"if=pflash,unit=1,format=raw,file={quoted(efivars)}")


def _medium(medium: Path) -> tuple[str, ...]:
    drive = f"if=none,id=medium,media=cdrom,format=raw,readonly=on,file={quoted(medium)}"
    return ("-drive", drive, "-device", "ide-cd,drive=medium,bootindex=1")


def quoted(path: Path) -> str:
    """As a value among QEMU's options."""
    return str(path).replace(",", ",,")
