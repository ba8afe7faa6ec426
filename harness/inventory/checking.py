"""Find every problem of an inventory folder at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

from harness.inventory.building import build
from harness.inventory.fields import Unsound
from harness.inventory.merge import read_site
from harness.inventory.problems import Problem, distinct, error, warning
from harness.inventory.rules_all import foreign_problems, shared_problems
from harness.inventory.rules_guest import guest_problems
from harness.inventory.rules_site import site_problems
from harness.inventory.rules_template import template_problems
from harness.inventory.site import Inventory
from harness.inventory.sources import inventory_sources


def site_names(folder: Path) -> list[str]:
    """The folders below `folder` that are Ansible inventories."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if _is_site(entry))


def _is_site(entry: Path) -> bool:
    if not entry.is_dir() or entry.name.startswith(".") or entry.name in {"group_vars", "host_vars"}:
        return False
    sources = (source for source in inventory_sources(entry) if source.parent == entry)
    return any(source.suffix in {".yml", ".yaml"} or source.name == "hosts" for source in sources)


def examine(
    folder: Path, asked: Sequence[str], *, explicit: bool, today: date, over: Path | None = None
) -> tuple[list[Inventory], list[Problem]]:
    """All sites of the folder, typed, and the problems of those `asked` for; `over` is read over those."""
    sites: list[Inventory] = []
    problems: list[Problem] = []
    for name in site_names(folder):
        raw = read_site(folder / name, over if name in asked else None)
        site, found = build(raw, asked=name in asked)
        sites.append(site)
        if name in asked:
            problems += raw.problems
            problems += [*found, *_rule_problems(site, explicit=explicit, today=today)]
    reported = {(str(problem.file), problem.line, problem.path) for problem in problems}
    shared = list(shared_problems(sites, asked, reported))
    return sites, sorted(distinct([*shared, *problems]), key=lambda problem: (str(problem.file), problem.line))


def _rule_problems(site: Inventory, *, explicit: bool, today: date) -> Iterator[Problem]:
    yield from foreign_problems(site)
    if not site.is_ours:
        if site.whole:
            yield _not_ours(site, explicit=explicit)
        return
    for rule in (*site_problems(site, today), *template_problems(site), *_nested_problems(site)):
        yield from _as_far_as_sound(rule)
    for guest in site.guests:
        if guest.vm is not None:
            for rule in guest_problems(site, guest, guest.vm):
                yield from _as_far_as_sound(rule)


def _nested_problems(site: Inventory) -> Iterable[Iterator[Problem]]:
    if site.nested is None:
        return ()
    from harness.inventory.rules_nested import nested_problems  # noqa: PLC0415 - with the installer's rules, for few sites

    return nested_problems(site, site.nested)


def _as_far_as_sound(rule: Iterable[Problem]) -> Iterator[Problem]:
    """A rule ends where it meets a value that is wrong itself: that is reported already."""
    with contextlib.suppress(Unsound):
        yield from rule


def _not_ours(site: Inventory, *, explicit: bool) -> Problem:
    is_meant = explicit or any(name.startswith("mgmt_") for host in site.hosts.values() for name in host.variables)
    report = error if is_meant else warning
    hint = "add it to group_vars/all" if is_meant else "the site was checked for identity only"
    return report(site.anchor, ("mgmt_site",), found="nothing", expected="the key mgmt_site", hint=hint)
