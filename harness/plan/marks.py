"""Mark a VM as ours, in PVE itself: a tag, and a line in its notes that the clone call already carries."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from harness.contract import Guest, Template
from harness.observed import ObservedGuest

TAG = "mgmt-harness"
PREFIX = "mgmt-harness:"
# Stands in the notes from the clone call until the guest is proven reachable with an identity of its own.
UNFINISHED = f"{PREFIX} unfinished"
UNMARKED_BUILD = "unmarked"


@dataclass(frozen=True)
class Provenance:
    """Where a VM comes from, as its notes say it; `build` is the image factory's mark."""

    site: str
    guest: str
    template: str
    build: str
    mode: str  # linked, full

    def render(self) -> str:
        fields = {"site": self.site, "guest": self.guest, "template": self.template, "build": self.build}
        return " ".join(
            [PREFIX, *(f"{key}={shlex.quote(value)}" for key, value in fields.items()), f"mode={self.mode}"]
        )


def parse_provenance(notes: str) -> Provenance | None:
    """The provenance line of a VM's notes; None when there is none that can be read."""
    for line in notes.splitlines():
        if not line.startswith(f"{PREFIX} site="):
            continue
        try:
            words = shlex.split(line.removeprefix(PREFIX))
        except ValueError:
            continue
        fields = dict(word.split("=", 1) for word in words if "=" in word)
        if {"site", "guest", "template", "build", "mode"} <= fields.keys():
            return Provenance(**{key: fields[key] for key in ("site", "guest", "template", "build", "mode")})
    return None


def is_unfinished(notes: str) -> bool:
    return UNFINISHED in notes.splitlines()


def notes_of_a_new_clone(provenance: Provenance) -> str:
    return f"{provenance.render()}\n{UNFINISHED}"


def without_unfinished(notes: str) -> str:
    return "\n".join(line for line in notes.splitlines() if line != UNFINISHED)


def tags_of(guest: Guest) -> frozenset[str]:
    return frozenset({TAG, guest.category})


def build_of(template: Template, notes: str) -> str:
    """The mark's value (`lab-image-1` of `build: lab-image-1`) when the template's notes carry it."""
    if template.build_mark not in notes:
        return UNMARKED_BUILD
    return template.build_mark.removeprefix("build:").strip()


def has_mark(vm: ObservedGuest) -> bool:
    """Ours or another harness's: without the tag and without the line a VM is foreign."""
    return TAG in vm.tags or parse_provenance(vm.description) is not None
