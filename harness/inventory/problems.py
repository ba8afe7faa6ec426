"""Say what is wrong in an inventory: where, what was found, what is expected, and what helps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.contract import Declared

Severity = Literal["error", "warning"]
Key = str | int
KeyPath = tuple[Key, ...]

_SHOWN_CHARS = 60
# Key names whose values are never printed, and shapes that are credentials wherever they stand.
_SECRET_KEYS = re.compile(r"secret|passw|token|private|credential", re.IGNORECASE)
SECRET_SHAPES = {
    "a PVE token value": re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a PVE API token": re.compile(r"PVEAPIToken="),
}


@dataclass(frozen=True)
class Problem:
    """One mistake. `path` is the dotted key path inside `file`."""

    severity: Severity
    file: Path
    line: int
    path: str
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {where}found {self.found}, expected {self.expected}{hint}"


def error(at: Declared, path: KeyPath, *, found: str, expected: str, hint: str = "") -> Problem:
    return Problem("error", at.file, at.line, dotted(path), found, expected, hint)


def warning(at: Declared, path: KeyPath, *, found: str, expected: str, hint: str = "") -> Problem:
    return Problem("warning", at.file, at.line, dotted(path), found, expected, hint)


def dotted(path: KeyPath) -> str:
    """`("services", 0, "unit")` as `services[0].unit`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def shown(value: Any, path: KeyPath = ()) -> str:
    """`value` for a message: short, and never a credential."""
    if value is None:
        return "nothing"
    if tag := getattr(value, "tag", None):
        return f"a {tag} value"
    if isinstance(value, dict | list):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        return kind if value else f"an empty {kind[2:]}"
    if any(isinstance(key, str) and _SECRET_KEYS.search(key) for key in path) or secret_shape(str(value)):
        return "a plain value (not shown)"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str | int | float) else f"'{value}'"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def secret_shape(text: str) -> str | None:
    """What kind of credential `text` looks like, or None."""
    return next((kind for kind, shape in SECRET_SHAPES.items() if shape.search(text)), None)


def distinct(problems: Iterable[Problem]) -> list[Problem]:
    """The first problem of each place: a value that is wrong in one way is not reported for what follows from it."""
    first: dict[tuple[Path, int, str], Problem] = {}
    for problem in problems:
        first.setdefault((problem.file, problem.line, problem.path), problem)
    return list(first.values())
