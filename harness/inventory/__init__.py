"""Load and validate an inventory: every problem at once, each with its file and line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from harness import errors
from harness.inventory.building import build
from harness.inventory.checking import examine, site_names
from harness.inventory.fields import Unsound
from harness.inventory.merge import read_site
from harness.inventory.positions import Tagged
from harness.inventory.problems import Problem
from harness.inventory.resolving import resolve
from harness.inventory.site import Host, Inventory

__all__ = [
    "Host",
    "Inventory",
    "Problem",
    "check",
    "load",
    "resolve",
    "sites",
    "survey",
    "variables",
]


def sites(folder: Path) -> list[str]:
    """The sites of an inventory folder."""
    return site_names(folder)


def load(folder: Path, site: str, *, over: Path | None = None) -> Inventory:
    """The site, sound in every part; errors.Invalid names the number of problems and the first.

    `over` is a file of variables by host that win over the hosts' own.
    """
    _require(folder, [site])
    found, problems = examine(folder, [site], explicit=True, today=_today(), over=over)
    wrong = [problem for problem in problems if problem.severity == "error"]
    if wrong:
        count = "1 problem" if len(wrong) == 1 else f"{len(wrong)} problems; the first"
        raise errors.Invalid(
            tried="load the inventory",
            on=str(folder / site),
            happened=f"{count}: {wrong[0]}",
            do=f"Mend it; `./invoke inventory.check --inventory {folder} --site {site}` lists them all",
        )
    return next(inventory for inventory in found if inventory.site == site)


def check(folder: Path, sites: Sequence[str] | None = None, *, today: date | None = None) -> list[Problem]:
    """Every problem of the named sites, or of all; duplicates are looked for over all sites of the folder."""
    _require(folder, sites or ())
    asked = site_names(folder) if sites is None else list(sites)
    return examine(folder, asked, explicit=sites is not None, today=today or _today())[1]


def survey(folder: Path, site: str) -> list[Inventory]:
    """Every site of the folder, the named one first, sound or not: for questions that come before all is right."""
    _require(folder, [site])
    names = [site, *(name for name in site_names(folder) if name != site)]
    found = [build(read_site(folder / name), asked=False)[0] for name in names]
    try:
        _ = found[0].mac_namespace
    except Unsound as cause:
        happened = "mgmt_mac_namespace is missing or wrong"
        do = f"Mend what `./invoke inventory.check --inventory {folder} --site {site}` says of it"
        raise errors.Invalid(tried="read the MAC namespace", on=str(folder / site), happened=happened, do=do) from cause
    return found


def variables(folder: Path, site: str) -> dict[str, dict[str, Any]]:
    """Each host's merged variables, as `ansible-inventory --list` gives them."""
    _require(folder, [site])
    hosts = read_site(folder / site).hosts.values()
    return {host.name: {name: _printed(one.value) for name, one in host.variables.items()} for host in hosts}


def _printed(value: Any) -> Any:
    if isinstance(value, Tagged):
        return value.as_ansible_prints()
    if isinstance(value, dict):
        return {key: _printed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printed(item) for item in value]
    return value


def _today() -> date:
    return date.today()  # a waiver ends with the operator's own day


def _require(folder: Path, wanted: Sequence[str]) -> None:
    known = site_names(folder)
    missing = [site for site in wanted if site not in known]
    if known and not missing:
        return
    if not folder.is_dir():
        happened = "there is no such folder"
    elif not known:
        happened = "it holds no site (a folder with hosts.yml)"
    else:
        happened = f"there is no site {missing[0]!r} in it"
    do = f"Choose one of {', '.join(known)}" if known else "Give the folder that holds the sites with --inventory"
    raise errors.Invalid(tried="find the site", on=str(folder), happened=happened, do=do)
