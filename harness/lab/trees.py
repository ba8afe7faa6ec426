"""Copy a folder of files into a machine's disk, with the values of this lab in place of @NAMES@."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


def write_tree(source: Path, target: Path, values: Mapping[str, str]) -> None:
    """Every file below `source`, under the same path below `target`; names and text may hold @NAMES@."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        destination = target / fill(str(file.relative_to(source)), values)
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_text(fill(file.read_text(), values))
        shutil.copymode(file, destination)


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
