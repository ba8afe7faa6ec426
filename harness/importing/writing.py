"""Write inventory files as YAML with marks: gaps that only the operator can fill, and contradictions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

KeyPath = tuple[str, ...]

FILL_IN = "FILL_IN"
CONTRADICTS = "CONTRADICTS"

_PLAIN = re.compile(r"[A-Za-z/~][A-Za-z0-9._/@ +-]*|\d+\.\d+\.\d+\.\d+(?:/\d+)?")


@dataclass(frozen=True)
class Gap:
    """A value that the node cannot tell; until the operator writes it, the inventory does not load."""

    why: str


@dataclass(frozen=True)
class Noted:
    """A value with comments above it."""

    value: Any
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """One file of the inventory; `notes` stand at its head."""

    path: str
    content: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def contradiction(clause: str, what: str) -> str:
    return f"{CONTRADICTS} {clause}: {what}"


def noted(value: Any, *notes: str | None) -> Any:
    """`value`, with those of the notes that say something."""
    said = tuple(note for note in notes if note)
    return Noted(value, said) if said else value


def lay_over(content: Mapping[str, Any], laid: Mapping[KeyPath, Any]) -> dict[str, Any]:
    """`content` with something at each key path: notes (a tuple of texts) above what stands there, or a new value."""
    out: dict[str, Any] = {}
    for key, value in content.items():
        below = {path[1:]: item for path, item in laid.items() if path[0] == key and len(path) > 1}
        inner = lay_over(value, below) if isinstance(value, Mapping) else value
        here = laid.get((key,), ())
        out[key] = noted(inner, *here) if isinstance(here, tuple) else here
    new = {path[0]: item for path, item in laid.items() if len(path) == 1 and path[0] not in content}
    return {**out, **{key: item for key, item in new.items() if not isinstance(item, tuple)}}


def render_documents(documents: Sequence[Document]) -> str:
    return "".join(f"---\n{render_document(document)}" for document in documents)


def render_document(document: Document) -> str:
    head = [_comment(document.path), *(_comment(note) for note in document.notes)]
    return "\n".join([*head, *_lines(document.content, "")]) + "\n"


def _lines(content: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, said in content.items():
        notes, value = (said.notes, said.value) if isinstance(said, Noted) else ((), said)
        yield from (f"{indent}{_comment(note)}" for note in notes)
        name = _scalar(key)
        if isinstance(value, Gap):
            yield f"{indent}{name}: {FILL_IN}  {_comment(value.why)}"
        elif isinstance(value, Mapping) and value:
            yield f"{indent}{name}:"
            yield from _lines(value, f"{indent}  ")
        else:
            yield f"{indent}{name}: {_flow(value)}"


def _comment(text: str) -> str:
    """On one line, whatever the node's own words are."""
    return f"# {' '.join(text.split())}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Plain where YAML reads the same text back, in quotes otherwise."""
    if isinstance(value, str) and not (_PLAIN.fullmatch(value) and yaml.safe_load(value) == value):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if not isinstance(value, str) else value
