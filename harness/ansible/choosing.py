"""Find the one site that a run of Ansible is about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import Invalid


def choose_site(said: str | None, sources: Sequence[str]) -> Path:
    """The site's folder: the one that is said, or the only one among Ansible's inventories."""
    if said is not None:
        return Path(said).expanduser().resolve()
    found = sorted({folder for source in sources if (folder := _site_of(Path(source).resolve())) is not None})
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(folder) for folder in found)
    raise Invalid(
        tried="find the site",
        on=", ".join(sources) or "no inventory",
        happened=f"{names} are several sites, and hosts of the same name would be mixed up"
        if found
        else "none of these inventories is a site's folder (one with hosts.yml)",
        do="Give one site with -i, as in -i inventory/lab",
    )


def _site_of(source: Path) -> Path | None:
    folder = source if source.is_dir() else source.parent
    return folder if (folder / "hosts.yml").is_file() else None
