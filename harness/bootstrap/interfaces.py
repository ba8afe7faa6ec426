"""Derive /etc/network/interfaces with the declared bridges; what it says of anything else stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_BEGINS = re.compile(r"(?:iface|auto|allow-\S+|mapping|source|source-directory|rename|no-auto-down|no-scripts)\b")
_INDENT = "\t"  # as PVE writes it


def derive_interfaces(text: str, bridges: Iterable[Mapping[str, Any]]) -> str:
    """`text` with these bridges; a bridge is name, port, address and gateway, each but the name may be None."""
    blocks = _blocks(text)
    for bridge in bridges:
        blocks = _with_bridge(blocks, bridge)
    return "".join(f"{line}\n" for block in blocks for line in block)


def _blocks(text: str) -> list[list[str]]:
    """The file's stanzas with their options; comments and blank lines are blocks of their own."""
    blocks: list[list[str]] = []
    for line in text.splitlines():
        words = line.split()
        belongs = words and not words[0].startswith("#") and not _BEGINS.match(line.strip())
        if belongs and blocks and _iface(blocks[-1]):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks


def _iface(block: list[str]) -> tuple[str, str] | None:
    """(name, family) of an iface stanza."""
    words = block[0].split()
    return (words[1], words[2]) if len(words) >= 4 and words[0] == "iface" else None


def _with_bridge(blocks: list[list[str]], bridge: Mapping[str, Any]) -> list[list[str]]:
    name, port = bridge["name"], bridge["port"]
    wanted = _wanted(bridge)
    if port is not None:
        blocks = _with_port(blocks, name, port)
    place = next((at for at, block in enumerate(blocks) if _iface(block) == (name, "inet")), None)
    if place is None:
        added = [[f"iface {name} inet {_method(bridge)}", *(f"{_INDENT}{key} {value}" for key, value in wanted)], [""]]
        place = _end(blocks)
        blocks = [*blocks[:place], *added, *blocks[place:]]
    else:
        blocks = [*blocks[:place], _corrected(blocks[place], bridge, wanted), *blocks[place + 1 :]]
    if not any(_starts(block, name) for block in blocks):
        blocks = [*blocks[:place], [f"auto {name}"], *blocks[place:]]
    return blocks


def _wanted(bridge: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = [("address", bridge["address"]), ("gateway", bridge["gateway"]), ("bridge-ports", bridge["port"])]
    return [(key, value) for key, value in said if value is not None] + [("bridge-stp", "off"), ("bridge-fd", "0")]


def _method(bridge: Mapping[str, Any]) -> str:
    return "static" if bridge["address"] else "manual"


def _corrected(block: list[str], bridge: Mapping[str, Any], wanted: list[tuple[str, str]]) -> list[str]:
    """The stanza with our options set where they stand; options that are not ours stay."""
    due = dict(wanted)
    head = block[0]
    if bridge["address"] and head.split()[3] != "static":
        head = f"iface {bridge['name']} inet static"
    lines = [head]
    for line in block[1:]:
        key, _, value = line.strip().partition(" ")
        key = key.replace("_", "-")
        if key == "netmask" and bridge["address"]:
            continue  # the address has its prefix
        if key in due and (said := due.pop(key)) != value.strip():
            lines.append(f"{_INDENT}{key} {said}")
        else:
            lines.append(line)
    return lines + [f"{_INDENT}{key} {value}" for key, value in due.items()]


def _with_port(blocks: list[list[str]], bridge: str, port: str) -> list[list[str]]:
    """The port has a stanza without an address: that is the bridge's."""
    found = [at for at, block in enumerate(blocks) if _iface(block) == (port, "inet")]
    if not found:
        place = next((at for at, block in enumerate(blocks) if _starts(block, bridge)), _end(blocks))
        return [*blocks[:place], [f"iface {port} inet manual"], [""], *blocks[place:]]
    head = blocks[found[0]][0].split()
    if head[3] == "manual":
        return blocks
    return [*blocks[: found[0]], [f"iface {port} inet manual"], *blocks[found[0] + 1 :]]


def _starts(block: list[str], name: str) -> bool:
    words = block[0].split()
    return bool(words) and words[0] == "auto" and name in words[1:]


def _end(blocks: list[list[str]]) -> int:
    """Before the closing `source` line, where PVE puts what is new."""
    return next((at for at, block in enumerate(blocks) if block[0].startswith("source ")), len(blocks))
