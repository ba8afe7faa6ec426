"""Inventories of nested sites whose installer is the stand-in."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import yaml

SHIPPED = Path(__file__).parents[2] / "inventory/nested"


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def nested_site(folder: Path, iso: Path, **machine: int | str) -> Path:
    """The folder of an inventory with one site: the shipped one, with this ISO, a small machine and keys of its own."""
    site = folder / "inventory/nested"
    shutil.copytree(SHIPPED, site)
    file = site / "group_vars/all/nested.yml"
    said = yaml.safe_load(file.read_text())
    wanted = said["mgmt_nested"]
    wanted["iso"] = {"file": str(iso), "sha256": sha256_of(iso)}
    del wanted["images"]  # tests/nested/test_nested_image.py builds it
    wanted["machine"] = {"memory_mib": 1024, "cores": 1, "disk_gib": 8, **machine}
    file.write_text(yaml.safe_dump(said))
    for variables in (*site.rglob("*.yml"),):
        text = variables.read_text().replace("/var/cache/mgmt-nested/", f"{folder}/")
        text = text.replace("host_reserve_gib: 4", "host_reserve_gib: 0").replace("memory_mib: 512", "memory_mib: 128")
        variables.write_text(text)
    return site.parent
