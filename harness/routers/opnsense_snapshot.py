"""Keep what OPNsense's grids hold as plain JSON that says nothing of UUIDs, and find the way back to it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from harness.routers.opnsense_entries import Entries, Fields, full_name, plain_mac

Likeness = Callable[[Fields], object]


def as_plain(entries: Entries) -> dict[str, list[dict[str, Any]]]:
    """Equal for two routers that hold the same: an entry that went and came back has another UUID."""
    subnets = {uuid: str(network) for uuid, network in entries.subnets.items()}
    reservations = ({**one, "subnet": subnets.get(one["subnet"], "")} for one in entries.reservations.values())
    aliases = ({**one, "host": _parent_key(entries.overrides.get(one["host"]))} for one in entries.aliases.values())
    return {
        "reservations": _ordered(reservations),
        "overrides": _ordered(dict(one) for one in entries.overrides.values()),
        "aliases": _ordered(aliases),
    }


def _parent_key(parent: Fields | None) -> str:
    return "" if parent is None else f"{full_name(parent)} {parent.get('rr')} {parent.get('server')}"


def _ordered(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda one: json.dumps(one, sort_keys=True))


def from_plain(plain: Mapping[str, Sequence[Fields]], now: Entries) -> Entries:
    """The entries that are to be there, each under the UUID of the one that is most like it now."""
    by_cidr = {str(network): uuid for uuid, network in now.subnets.items()}
    reservations = [{**one, "subnet": by_cidr.get(one["subnet"], "")} for one in plain["reservations"]]
    overrides = _matched(now.overrides, plain["overrides"], "override", (dict, full_name))
    key_of = {_parent_key(fields): key for key, fields in reversed(overrides.items())}
    aliases = [{**one, "host": key_of.get(one["host"], "")} for one in plain["aliases"]]
    return Entries(
        subnets=now.subnets,
        reservations=_matched(now.reservations, reservations, "reservation", (dict, _mac, _hostname)),
        overrides=overrides,
        aliases=_matched(now.aliases, aliases, "alias", (dict, full_name)),
    )


def _mac(fields: Fields) -> object:
    return plain_mac(str(fields.get("hw_address", "")))


def _hostname(fields: Fields) -> object:
    return fields.get("hostname")


def _matched(
    now: Mapping[str, Fields], wanted: Sequence[Fields], what: str, likenesses: Sequence[Likeness]
) -> dict[str, Fields]:
    """First those that are the same, then those that are alike; what is like nothing there is to be made."""
    free, keys = dict(now), dict[int, str]()
    for like in likenesses:
        for number, fields in enumerate(wanted):
            if number not in keys:
                uuid = next((uuid for uuid, one in free.items() if like(one) == like(fields)), None)
                if uuid is not None:
                    keys[number] = uuid
                    del free[uuid]
    return {keys.get(number, f"new {what} {number}"): dict(fields) for number, fields in enumerate(wanted)}
