"""Judge whether clones of a template are fit to become management VMs, and read that judgement from its notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from harness.contract import Template
from harness.plan.marks import PREFIX

Check = Literal["disk-size", "agent", "dhcp", "login", "machine-id", "host-keys"]
CHECKS: tuple[Check, ...] = get_args(Check)
GIB = 1 << 30
# Stands in the notes from the request that makes the VM until the test's result takes its place.
UNTESTED = f"{PREFIX} untested"
_TESTED = re.compile(rf"^{re.escape(PREFIX)} tested=(\d{{4}}-\d\d-\d\d) failed=([a-z,-]+)$")
_IMPORTED = re.compile(rf"^{re.escape(PREFIX)} image=(\S+) site=(\S+) template=(\S+)$")
# What was written this long before a boot counts as written by it: both clocks count whole seconds.
SLACK_S = 2


@dataclass(frozen=True)
class Finding:
    """One check of a test clone: what it needs, and what it showed."""

    check: Check
    ok: bool
    seen: str

    def __str__(self) -> str:
        return f"{self.check}: {self.seen}"


@dataclass(frozen=True)
class CloneFacts:
    """What a clone says of its first boot; times are seconds since the epoch by its own clock."""

    booted_at: int
    machine_id_at: int | None  # None: it has none
    host_keys_at: Mapping[str, int]  # by file


@dataclass(frozen=True)
class Trial:
    """The line that a test leaves in a template's notes."""

    on: date
    failed: tuple[str, ...]

    def render(self) -> str:
        return f"{PREFIX} tested={self.on.isoformat()} failed={','.join(self.failed) or 'none'}"


@dataclass(frozen=True)
class Imported:
    """The line that an import leaves in a template's notes."""

    image: str  # sha256:…
    site: str
    template: str

    def render(self) -> str:
        return f"{PREFIX} image={self.image} site={self.site} template={self.template}"


def parse_trial(notes: str) -> Trial | None:
    """The last test's result; None when there was none."""
    found = [match for line in notes.splitlines() if (match := _TESTED.fullmatch(line))]
    if not found:
        return None
    failed = () if found[-1][2] == "none" else tuple(found[-1][2].split(","))
    return Trial(date.fromisoformat(found[-1][1]), failed)


def parse_imported(notes: str) -> Imported | None:
    found = [match for line in notes.splitlines() if (match := _IMPORTED.fullmatch(line))]
    return Imported(*found[-1].groups()) if found else None


def is_untested(notes: str) -> bool:
    return UNTESTED in notes.splitlines()


def notes_of_an_import(mark: str, imported: Imported) -> str:
    """What the request that makes the VM carries: the build's mark, where it comes from, and that nothing is proven."""
    build = mark if mark.startswith("build:") else f"build: {mark}"
    return f"{build}\n{imported.render()}\n{UNTESTED}"


def notes_with(notes: str, tested: Trial) -> str:
    """The notes with this test's result instead of an earlier one."""
    kept = [line for line in notes.splitlines() if line != UNTESTED and not _TESTED.fullmatch(line)]
    return "\n".join([*kept, tested.render()])


def unfit_for(template: Template, notes: str) -> str | None:
    """Why the template may not be used, by its notes; None when it may. One that was never imported says nothing."""
    if is_untested(notes):
        return "was imported and has not passed its fitness test"
    tested = parse_trial(notes)
    failed = not_accepted(template, tested.failed) if tested else ()
    if tested and failed:
        return f"failed its fitness test of {tested.on} ({', '.join(failed)})"
    return None


def not_accepted(template: Template, failed: Iterable[str]) -> tuple[str, ...]:
    return tuple(check for check in failed if check not in template.accepts)


def judge_disk(template: Template, size_bytes: int) -> Finding:
    limit = template.max_disk_gib
    said = f"the virtual disk is {size_bytes / GIB:.1f} GiB, at most {limit} GiB is declared (max_disk_gib)"
    if size_bytes == 0:
        return Finding("disk-size", False, "its configuration tells no size of a disk")
    return Finding("disk-size", size_bytes <= limit * GIB, said)


def judge_facts(facts: CloneFacts) -> Sequence[Finding]:
    """Whatever was there before the clone's first boot is the template's, and every clone has it."""
    before = facts.booted_at - SLACK_S
    if facts.machine_id_at is None:
        machine = Finding("machine-id", True, "the clone has none")
    elif facts.machine_id_at < before:
        machine = Finding("machine-id", False, "the template has one, which all clones share")
    else:
        machine = Finding("machine-id", True, "made at the clone's first boot")
    shared = sorted(name for name, at in facts.host_keys_at.items() if at < before)
    if shared:
        said = f"the template has {', '.join(shared)}, which all clones share"
        return machine, Finding("host-keys", False, said)
    made = "made at the clone's first boot" if facts.host_keys_at else "the clone has none"
    return machine, Finding("host-keys", True, made)
