"""What the tasks have in common: the words for their options, and how their arguments and ends are read."""

from __future__ import annotations

from pathlib import Path

from invoke.exceptions import Exit

ROOT = Path(__file__).resolve().parents[2]
SITE = {"site": "the site's name (default: lab)", "inventory": "the folder of all sites (default: inventory/)"}
NESTED_SITE = {"site": "the nested site's name (default: nested)", "inventory": SITE["inventory"]}
GUEST = {"guest": "only this VM"}
GUEST_TO = {"guest": "the name of the VM"}
ROUTER = {"router": "the lab's router: dnsmasq, kea (behind OPNsense's API) or vyos (default: as it is, or dnsmasq)"}
JSON = {"json": "write JSON to standard output"}
FILES = {
    "junit": "write JUnit XML to this file",
    "html": "write the report to this file",
    "tap": "write TAP 14 to this file",
    "prom": "write a textfile for Prometheus to this file",
}


def end_with(status: int) -> None:
    """Invoke's own way to an exit status."""
    if status:
        raise Exit(code=status)


def sites_folder(inventory: str | None) -> Path:
    return Path(inventory).expanduser() if inventory else ROOT / "inventory"


def path_of(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
