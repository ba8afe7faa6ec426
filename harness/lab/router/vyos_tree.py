"""A VyOS configuration as a tree of words: set and delete paths in it, and show it as its API does."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal

Release = Literal["1.4", "1.5"]
Tree = dict[str, Any]  # word -> Tree; a value is the last word of its path

# Leaves by the number of values they take; anything else is a node, a tag or has no value.
SINGLE = {
    *("ip-address", "mac", "mac-address", "duid", "subnet-id", "start", "stop", "lease", "description"),
    *("default-router", "domain-name", "address", "target", "ttl", "cache-size"),
}
MULTI = {"inet", "alias", "name-server", "domain-search", "listen-address", "allow-from", "ntp-server"}
# The same thing has two names; the other one is no path.
FOREIGN_LEAVES: dict[Release, frozenset[str]] = {
    "1.4": frozenset({"mac", "duid", "subnet-id"}),
    "1.5": frozenset({"mac-address"}),
}


class ConfigError(Exception):
    """VyOS refuses; the text is what its command line would say."""


def require_valid(path: Sequence[str], release: Release) -> None:
    """Whether this release's schema has the path, as far as the lab knows it."""
    at = path.index("static-mapping") + 2 if "static-mapping" in path else len(path)
    of_subnet = path[at - 1 : at] if "static-mapping" not in path else path[at : at + 1]
    leaves = [*of_subnet, *(path[6:7] if path[:2] == ["service", "dhcp-server"] else [])]
    if FOREIGN_LEAVES[release] & set(leaves):
        raise ConfigError(f"Configuration path: [{' '.join(path)}] is not valid\nSet failed\n")


def set_path(tree: Tree, path: Sequence[str]) -> None:
    """A single value replaces the one before."""
    node = tree
    for place, word in enumerate(path):
        is_value = place == len(path) - 1 and place > 0
        if is_value and path[place - 1] in SINGLE:
            node.clear()
        node = node.setdefault(word, {})


def delete_path(tree: Tree, path: Sequence[str]) -> bool:
    """Whether there was something; what a value leaves empty behind it goes, too."""
    parents = [tree]
    for word in path[:-1]:
        if word not in parents[-1]:
            return False
        parents.append(parents[-1][word])
    if path[-1] not in parents[-1]:
        return False
    del parents[-1][path[-1]]
    if len(path) > 1 and path[-2] in SINGLE | MULTI and not parents[-1]:
        del parents[-2][path[-2]]
    return True


def find(tree: Tree, path: Sequence[str]) -> Tree | None:
    node = tree
    for word in path:
        if word not in node:
            return None
        node = node[word]
    return node


def as_json(tree: Tree) -> Any:
    """Tags and nodes as objects, one value as a text, more as a list."""
    return {word: _leaf(word, below) if word in SINGLE | MULTI else as_json(below) for word, below in tree.items()}


def _leaf(word: str, below: Tree) -> Any:
    values = list(below)
    return values if word in MULTI and len(values) > 1 else values[0]


def lines(tree: Tree, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path that ends in nothing more: what `set` commands would make the tree."""
    for word, below in tree.items():
        if below:
            yield from lines(below, (*above, word))
        else:
            yield (*above, word)


def copied(tree: Tree) -> Tree:
    return copy.deepcopy(tree)
