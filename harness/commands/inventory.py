"""The inventory on its own: validate it, propose a MAC, say what its keys may be. No site is opened here."""

from __future__ import annotations

from pathlib import Path

from harness import inventory as inventories
from harness.commands.front import front
from harness.inventory.proposing import propose_mac
from harness.printing import lines


@front
def check(folder: Path, site: str | None) -> int:
    """Every mistake at once; 1 when there is one that is more than a warning."""
    out = lines()
    problems = inventories.check(folder, [site] if site else None)
    for problem in problems:
        out.print(str(problem), markup=False)
    errors = sum(problem.severity == "error" for problem in problems)
    names = [site] if site else inventories.sites(folder)
    out.print(
        f"{', '.join(names)}: {_count(errors, 'error')}, {_count(len(problems) - errors, 'warning')}", markup=False
    )
    return 1 if errors else 0


@front
def mac(folder: Path, site: str, category: str, group: str) -> int:
    """The next free MAC of the site's namespace, over all sites."""
    print(propose_mac(*inventories.survey(folder, site), category=category, group=group))
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
