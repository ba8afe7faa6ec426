"""Write inventory folders for tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent

SHIPPED = Path(__file__).parents[2] / "inventory"


def write(folder: Path, files: dict[str, str]) -> Path:
    """Each file of `files` below `folder`; returns the folder."""
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"))
    return folder


def copy_shipped(folder: Path, *sites: str) -> Path:
    """A copy of the shipped sites to make mistakes in."""
    for site in sites:
        shutil.copytree(SHIPPED / site, folder / site)
    return folder
