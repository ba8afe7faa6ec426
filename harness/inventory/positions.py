"""Read a YAML file of an Ansible inventory and remember on which line each value stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from harness.contract import Declared
from harness.inventory.problems import Key, KeyPath, Problem, error, warning
from harness.safe_yaml import LOADER

VAULT_HEADER = "$ANSIBLE_VAULT"
_MERGE_TAG = "tag:yaml.org,2002:merge"
_DEEPEST = 64


class Tagged(str):
    """The text of an Ansible tag (`!vault`, `!unsafe`): kept, never read."""

    __slots__ = ("tag",)
    tag: str

    def __new__(cls, text: str, tag: str) -> Tagged:
        made = super().__new__(cls, text)
        made.tag = tag
        return made

    def as_ansible_prints(self) -> dict[str, str]:
        return {"__ansible_unsafe" if self.tag == "!unsafe" else "__ansible_vault": str(self)}


@dataclass(frozen=True)
class Document:
    """A file's data, its lines by key path, and what is wrong with it as YAML."""

    file: Path
    data: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    readable: bool = True
    doubtful: frozenset[Key] = frozenset()  # top keys in which something was lost to a doubled key

    def at(self, path: KeyPath) -> Declared:
        """Where `path` stands, or the nearest part of it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return Declared(self.file, self.lines.get(path, 1))


def read_document(file: Path) -> Document:
    """Parse one file; what cannot be parsed is a problem, not an exception."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        return _unreadable(file, 1, f"a file that cannot be read ({cause})", "a readable UTF-8 file")
    return _parse(file, text)


# A command that asks for the neighbours' sites too reads the same texts again.
@lru_cache(maxsize=512)
def _parse(file: Path, text: str) -> Document:
    if text.startswith(VAULT_HEADER):
        return Document(file)  # Encrypted: its variables are not ours to see.
    reader = _Reader(file)
    try:
        return reader.read(text)
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None) or getattr(cause, "context_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(cause, "problem", None) or str(cause)
        return _unreadable(file, line, f"a YAML error: {what}", "valid YAML", "check indentation, quotes and colons")


def _unreadable(file: Path, line: int, found: str, expected: str, hint: str = "") -> Document:
    return Document(file, problems=(Problem("error", file, line, "", found, expected, hint),), readable=False)


class _Reader:
    """Turns nodes into plain values, collecting lines and duplicate keys on the way."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []
        self.doubtful: set[Key] = set()
        self.flattened: set[int] = set()  # mappings reached again through an alias

    def read(self, text: str) -> Document:
        self.loader = LOADER(text)
        try:
            node = self.loader.get_single_node()
            if node is None:
                return Document(self.file)
            value = self._value(node, ())
        finally:
            self.loader.dispose()
        if value is None:
            return Document(self.file)
        if not isinstance(value, dict):
            return _unreadable(self.file, node.start_mark.line + 1, "no mapping at the top", "a mapping of variables")
        return Document(self.file, value, self.lines, tuple(self.problems), doubtful=frozenset(self.doubtful))

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > _DEEPEST:
            raise yaml.constructor.ConstructorError(None, None, "an alias that contains itself", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, place)) for place, item in enumerate(node.value)]
        if node.tag.startswith("!"):
            if node.tag not in {"!vault", "!vault-encrypted", "!unsafe"}:
                raise yaml.constructor.ConstructorError(None, None, f"the unknown tag {node.tag}", node.start_mark)
            return Tagged(node.value, node.tag)
        try:
            return self.loader.construct_object(node)
        except ValueError:  # 2027-02-30 looks like a date and is none
            return node.value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Key, Any]:
        if id(node) not in self.flattened:
            self.flattened.add(id(node))
            self._report_duplicates(node, path)
            self.loader.flatten_mapping(node)  # `<<: *anchor`; the mapping's own keys come last and win
        made: dict[Key, Any] = {}
        for key_node, value_node in node.value:
            key = self.loader.construct_object(key_node)
            if not isinstance(key, str | int):
                raise yaml.constructor.ConstructorError(None, None, "a key that is no text", key_node.start_mark)
            here = (*path, key)
            self.lines[here] = key_node.start_mark.line + 1
            made[key] = self._value(value_node, here)
        return made

    def _report_duplicates(self, node: yaml.MappingNode, path: KeyPath) -> None:
        """One problem for each mapping: where a line is lost, all the keys below it are doubled."""
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE_TAG or not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                self.problems.append(self._duplicate((*path, key_node.value), line, seen[key_node.value]))
                self.doubtful.update(path[:1] or (key_node.value,))
                return
            seen[key_node.value] = line

    def _duplicate(self, path: KeyPath, line: int, first: int) -> Problem:
        report = error if _is_ours(path) else warning
        found = f"the key {path[-1]!r} a second time (first on line {first})"
        hint = "Ansible keeps the last one silently"
        return report(Declared(self.file, line), path, found=found, expected="each key once", hint=hint)


def _is_ours(path: KeyPath) -> bool:
    """Whether a doubled key loses something that we read: our keys, identity and bindings, or hosts and groups."""
    top = str(path[0])
    return top.startswith(("mgmt_", "deevnet_")) or top in {"infrastructure", "env"} or "hosts" in path or top == "all"
