"""Find the files of an inventory folder that Ansible would read, in its order, and the hosts that a pattern names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# What Ansible skips when it looks for sources in an inventory folder (INVENTORY_IGNORE_EXTS and its fixed patterns).
_IGNORED = re.compile(
    r"^\.|^(?:host_vars|group_vars|vars_plugins)$|~$|\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)$"
)
YAML_EXTENSIONS = (".yml", ".yaml", ".json")
_RANGE = re.compile(r"\[([^\[\]:]+):([^\[\]:]+)(?::(\d+))?\]")
_PORT = re.compile(r"^((?:[^:\[\]]|\[[^\]]*\])+):(\d+)$")


def inventory_sources(folder: Path) -> Iterator[Path]:
    """The files of `folder` that Ansible would parse as inventory, in its order."""
    for entry in sorted(folder.iterdir(), key=lambda path: path.name):
        if _IGNORED.search(entry.name):
            continue
        if entry.is_dir():
            yield from inventory_sources(entry)
        else:
            yield entry


def vars_files(folder: Path, name: str) -> Iterator[Path]:
    """The files of one group or host."""
    root = vars_root(folder, name)
    if root is not None:
        yield from _folder_files(root) if root.is_dir() else (root,)


def vars_root(folder: Path, name: str) -> Path | None:
    """Where the variables of one group or host are: a folder hides a file of the same name, as in Ansible."""
    candidates = (folder / f"{name}{extension}" for extension in ("", *YAML_EXTENSIONS))
    return next((path for path in candidates if path.exists()), None)


def _folder_files(folder: Path) -> Iterator[Path]:
    for entry in folder_entries(folder):
        if entry.is_dir():
            if not entry.suffix:
                yield from _folder_files(entry)
        elif not entry.suffix or entry.suffix in YAML_EXTENSIONS:
            yield entry


def folder_entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = sorted(folder.iterdir(), key=lambda path: path.name)
    return [entry for entry in found if not entry.name.startswith(".") and not entry.name.endswith("~")]


def expand_pattern(pattern: str) -> tuple[list[str], int | None]:
    """`web[01:03]:2222` as its host names and its port."""
    port = None
    if has_port := _PORT.match(pattern):
        pattern, port = has_port[1], int(has_port[2])
    names = [pattern]
    while any(_RANGE.search(name) for name in names):
        names = [made for name in names for made in _expand_first(name)]
    return names, port


def _expand_first(name: str) -> Iterator[str]:
    found = _RANGE.search(name)
    if not found:
        yield name
        return
    first, last, step = found[1], found[2], int(found[3] or 1)
    if first.isdigit() and last.isdigit():
        values = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1, step)]
    else:
        values = [chr(code) for code in range(ord(first[0]), ord(last[0]) + 1, step)]
    for value in values:
        yield f"{name[: found.start()]}{value}{name[found.end() :]}"
