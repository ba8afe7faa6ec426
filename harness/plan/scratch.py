"""What a restored copy looks like while it is tried: no network, no start with the node, and a mark that says so."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from harness.contract import Guest
from harness.observed import ObservedGuest
from harness.plan.marks import PREFIX, TAG

SCRATCH_TAG = "scratch"
NAME_SUFFIX = "-scratch"


def mark_of(site: str, guest: Guest, archive: str) -> str:
    return f"{PREFIX} scratch site={shlex.quote(site)} guest={shlex.quote(guest.name)} archive={shlex.quote(archive)}"


def is_scratch_of(site: str, vm: ObservedGuest) -> bool:
    """Made by us to try a backup, and never anything else: both the tag and the line of this site."""
    mine = f"{PREFIX} scratch site={shlex.quote(site)} "
    return {TAG, SCRATCH_TAG} <= vm.tags and any(line.startswith(mine) for line in vm.description.splitlines())


def scratch_mac(mac: str) -> str:
    """A MAC that no guest has, should the copy ever be plugged in: locally administered, outside the namespace."""
    first, rest = mac.split(":", 1)
    return f"{int(first, 16) ^ 0x04 | 0x02:02x}:{rest}"


def changes_for(site: str, guest: Guest, archive: str, nics: dict[str, str]) -> dict[str, Any]:
    """What stands in place of the archive's own values from the first moment; `nics` are rendered by `unplugged`."""
    return {
        "name": f"{guest.name}{NAME_SUFFIX}",
        "onboot": False,
        "protection": False,
        "tags": f"{TAG};{SCRATCH_TAG}",
        "description": mark_of(site, guest, archive),
        **nics,
    }


def faults_of(site: str, guest: Guest, vm: ObservedGuest) -> Iterator[str]:
    """Why a restored copy must not be started."""
    if not is_scratch_of(site, vm):
        yield "it does not carry the mark of a scratch VM"
    if vm.onboot:
        yield "it would start with the node"
    for slot, nic in sorted(vm.nics.items()):
        if "link_down=1" not in str(vm.config[slot]).split(","):
            yield f"{slot} is plugged in"
        if nic.mac.lower() == guest.nic.mac:
            yield f"{slot} has the guest's own MAC {guest.nic.mac}"
