"""Say what a name, a MAC and an address must look like, and which MAC is free; never what one is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.contract import Mac

# The ecosystem's grammar: an optional role, a two-letter form, two digits.
_HOST_NAME = re.compile(r"^(?:([a-z0-9]+(?:-[a-z0-9]+)*)-)?(hv|vm|ph|pi|em|rt|sw|ap)(\d{2})$")
_LABEL = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")
_MAC = re.compile(r"^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$")
_HIGHEST_INDEX = 0xFF


@dataclass(frozen=True)
class HostName:
    """`core-rt02` as role `core`, form `rt`, number 2."""

    role: str | None
    form: str
    number: int


@dataclass(frozen=True)
class Namespace:
    """The meaning of a management MAC's bytes: prefix (2), environment, role, group, index."""

    prefix: str
    environment: str
    roles: Mapping[str, str]
    groups: Mapping[str, str]


def parse_host_name(text: str) -> HostName:
    """ValueError says what the grammar wants."""
    found = _HOST_NAME.match(text)
    if not found:
        raise ValueError("[role-]formNN with form hv, vm, ph, pi, em, rt, sw or ap and two digits")
    role, form, number = found.groups()
    if role is None and form in {"vm", "ph", "em", "rt"}:
        raise ValueError(f"a role before {form}{number}, such as metrics-{form}{number}")
    return HostName(role, form, int(number))


def is_label(text: str) -> bool:
    """Whether `text` can stand between two dots of a DNS name."""
    return bool(_LABEL.match(text))


def parse_mac(text: str) -> Mac:
    """A MAC in the one notation of the inventory; ValueError says what is expected."""
    if not _MAC.match(text):
        if _MAC.match(text.lower().replace("-", ":")):
            raise ValueError(f"lowercase and colons: {text.lower().replace('-', ':')!r}")
        raise ValueError("six bytes such as '02:de:20:01:01:01'")
    if int(text[:2], 16) & 0x01:
        raise ValueError("a unicast address (the first byte even)")
    return Mac(text)


def is_locally_administered(mac: Mac) -> bool:
    return bool(int(mac[:2], 16) & 0x02)


def compose_mac(namespace: Namespace, *, category: str, group: str, index: int) -> Mac:
    """The MAC that the namespace has for this place; KeyError for an unknown category or group."""
    if not 1 <= index <= _HIGHEST_INDEX:
        raise ValueError(f"the index {index} does not fit into one byte (1..{_HIGHEST_INDEX})")
    role, service = namespace.roles[category], namespace.groups[group]
    return Mac(f"{namespace.prefix}:{namespace.environment}:{role}:{service}:{index:02x}")


def next_free_mac(namespace: Namespace, taken: Iterable[str], *, category: str, group: str) -> Mac:
    """The lowest MAC of the group that nobody holds; ValueError when the group is full."""
    held = {mac.lower() for mac in taken}
    for index in range(1, _HIGHEST_INDEX + 1):
        if (mac := compose_mac(namespace, category=category, group=group, index=index)) not in held:
            return mac
    raise ValueError(f"all {_HIGHEST_INDEX} addresses of {category}/{group} are taken")
