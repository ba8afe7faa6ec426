"""Write files into a machine's disk, with the values of this lab in place of @NAMES@, and name trees by content."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.errors import Unsafe


def write_tree(source: Path, target: Path, values: Mapping[str, str]) -> None:
    """Every file below `source`, under the same path below `target`; names and text may hold @NAMES@."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        destination = target / fill(str(file.relative_to(source)), values)
        # Not the checkout's own modes: they depend on the umask of whoever cloned it.
        mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
        write_file(destination, fill(file.read_text(), values), mode)


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with each @NAME@ replaced."""
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def write_file(path: Path, text: str, mode: int = 0o644) -> None:
    """A file with its folders; never readable by others than `mode` says, not even while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=mode)
    path.chmod(mode)
    path.write_text(text)


def link(path: Path, target: str) -> None:
    """A symbolic link with its folders, replacing what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def mask(tree: Path, *units: str) -> None:
    """Keep systemd units of the tree from ever starting."""
    for unit in units:
        link(tree / "etc/systemd/system" / unit, "/dev/null")


def enable(tree: Path, unit: str, *, where: str = "/etc/systemd/system", target: str = "multi-user.target") -> None:
    """What `systemctl enable` would do, for a tree nothing runs in."""
    link(tree / f"etc/systemd/system/{target}.wants" / unit, f"{where}/{unit}")


def remove_tree(folder: Path) -> None:
    """The folder and all below it, unless something is mounted there."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    inside = [point for point in mounted if Path(point).is_relative_to(folder)]
    if inside:
        raise Unsafe(
            tried="remove the lab's files",
            on=str(folder),
            happened=f"something is mounted there: {', '.join(inside)}",
            do=f"Unmount it: umount {' '.join(inside)}",
        )
    if folder.exists():
        shutil.rmtree(folder)


def digest_of(texts: Iterable[str], *folders: Path) -> str:
    """A short name for the texts and every file below the folders."""
    digest = hashlib.sha256("\0".join(texts).encode())
    for folder in folders:
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"\0{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]
