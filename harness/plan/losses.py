"""Say what a VM would lose by being destroyed, and whether a backup makes up for it: pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.contract import Guest
from harness.observed import ObservedGuest
from harness.plan.marks import TAG, has_mark, is_unfinished, parse_provenance

_UNUSED = re.compile(r"unused\d+")


def not_ours(site: str, guest: Guest, vm: ObservedGuest) -> str | None:
    """Why this VM may not be touched: it takes the tag and a provenance line that names this site and this guest."""
    provenance = parse_provenance(vm.description)
    said = f"VM {vm.vmid} ({vm.name or 'without a name'})"
    if vm.template:
        return f"{said} is a template"
    if not has_mark(vm):
        return f"{said} is a foreign VM: it carries no mark of this tool"
    if provenance is None:
        return f"{said} carries our tag, but no provenance line in its notes"
    if (provenance.site, provenance.guest) != (site, guest.name):
        return f"{said} is {provenance.guest} of site {provenance.site}, as its notes say"
    # The line goes along with the clone call, the tag comes with the configuration.
    return None if TAG in vm.tags or is_unfinished(vm.description) else f"{said} has lost the tag {TAG}"


def own_disks(vm: ObservedGuest) -> dict[str, str]:
    """Slot -> volume of what holds data: CD drives and cloud-init hold none, detached disks do."""
    detached = {key: str(text) for key, text in vm.config.items() if _UNUSED.fullmatch(key)}
    return {slot: text for slot, text in {**vm.disks, **detached}.items() if "media=cdrom" not in text}


def data_disks(guest: Guest, vm: ObservedGuest, template: ObservedGuest | None) -> dict[str, str]:
    """The disks a new clone would not bring and that nobody declared ephemeral."""
    brought = set(template.disks) if template is not None else set()
    return {slot: text for slot, text in own_disks(vm).items() if slot not in brought | guest.ephemeral_disks}


@dataclass(frozen=True)
class Kept:
    """What is known of one archive."""

    volid: str
    age_s: float
    size_bytes: int
    vm: ObservedGuest  # the configuration in it
    disks: frozenset[str]  # the slots that were saved


def backup_faults(site: str, guest: Guest, vm: ObservedGuest, kept: Kept | None, limit_s: float) -> Iterator[str]:
    """Why the newest backup does not make up for the VM."""
    if kept is None:
        yield "there is no backup of it"
        return
    if kept.age_s > limit_s:
        yield f"its newest backup is {said_age(kept.age_s)} old, and {said_age(limit_s)} is the limit"
    if kept.size_bytes <= 0:
        yield f"its newest backup {kept.volid} is empty"
    if (why := not_ours(site, guest, kept.vm)) is not None:
        yield f"its newest backup {kept.volid} is of another VM: {why}"
    left_out = sorted(set(own_disks(vm)) - kept.disks - guest.ephemeral_disks)
    if left_out:
        yield f"its newest backup {kept.volid} leaves out {', '.join(left_out)}"


def said_age(seconds: float) -> str:
    hours = seconds / 3600
    if hours < 1:
        return f"{seconds / 60:.0f} min"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"


def said_disks(disks: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{slot} ({text})" for slot, text in disks)
