"""What `verify` can be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
OWN_SPECS = CHECKOUT / "specs"


@dataclass(frozen=True)
class VerifyOptions:
    """What `verify` was asked; `json` may be - for standard output."""

    site: str = "lab"
    inventory: Path = CHECKOUT / "inventory"
    clauses: tuple[str, ...] = ()
    profile: str | None = None  # the site's own
    guest: str | None = None
    json: Path | None = None
    html: Path | None = None
    junit: Path | None = None
    tap: Path | None = None
    prom: Path | None = None
    specs: Path = OWN_SPECS
    pytest_args: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether all of our own specs are asked for."""
        selected = self.clauses or self.profile or self.guest or self.pytest_args
        return not selected and self.specs == OWN_SPECS
