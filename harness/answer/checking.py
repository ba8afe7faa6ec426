"""Read the text of an answer file, and say everything that the installer would refuse in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from harness.answer.rendering import AS_WRITTEN
from harness.answer.tables import Answer


def check_answer(text: str) -> list[str]:
    """Every mistake, as `table.key: expected …`; empty when the installer takes it."""
    try:
        read_answer(text)
    except tomllib.TOMLDecodeError as cause:
        return [f"expected TOML: {cause}"]
    except _Twice as cause:
        return [f"{cause}: expected once, and it is there with dashes and with underscores"]
    except ValidationError as cause:
        return [_said(found) for found in cause.errors(include_url=False, include_input=False)]
    return []


def read_answer(text: str) -> Answer:
    """The answer; what is wrong with it raises TOMLDecodeError, ValidationError or ValueError."""
    return Answer.model_validate(_underscored(tomllib.loads(text)))


class _Twice(ValueError):
    """A key that stands there in both of its spellings."""


def _underscored(table: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Keys of several words may be written with dashes or with underscores."""
    made: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in made:
            raise _Twice(f"{path}{key}")
        inner = isinstance(value, dict) and key not in AS_WRITTEN
        made[name] = _underscored(value, f"{path}{key}.") if inner else value
    return made


def _said(found: ErrorDetails) -> str:
    where = ".".join(_names(found["loc"])) or "the file"
    expected = {"missing": "there", "extra_forbidden": "no such key"}.get(found["type"], found["msg"])
    return f"{where.replace('_', '-')}: expected {expected[:1].lower()}{expected[1:]}"


def _names(location: tuple[int | str, ...]) -> Iterator[str]:
    """Without the kinds that a value could have been of."""
    for place, part in enumerate(location):
        if not (part in {"text", "table"} and location[place - 1] == "fqdn"):
            yield str(part)
