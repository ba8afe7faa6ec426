"""Find what of a virtual machine is left on this machine."""

from __future__ import annotations

from pathlib import Path


def machines_about(folder: Path) -> list[int]:
    """The processes of QEMU whose arguments name something in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        is_qemu = any(b"qemu-system" in argument for argument in arguments[:5])
        if is_qemu and state != "Z" and any(bytes(folder) in argument for argument in arguments):
            found.append(int(process.name))
    return found
