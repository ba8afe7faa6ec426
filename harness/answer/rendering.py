"""Write an answer file as the installer's own documentation spells it: dashes, one table after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# The keys of such a table are udev's properties: no dash of theirs is an underscore.
AS_WRITTEN = {"filter"}


def render_answer(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of the tables; their keys have underscores, and None is left out."""
    return "\n".join(_render_table(_dashed(name), table) for name, table in tables.items())


def _render_table(name: str, table: Mapping[str, Any]) -> str:
    return "".join([f"[{name}]\n", *(f"{line}\n" for line in _lines("", table))])


def _lines(prefix: str, table: Mapping[str, Any]) -> list[str]:
    """Inner tables as dotted keys, so that each outer table stays in one piece."""
    made: list[str] = []
    for key, value in table.items():
        name = prefix + (key if prefix.removesuffix(".") in AS_WRITTEN else _dashed(key))
        if isinstance(value, Mapping):
            made += _lines(f"{name}.", value)
        elif value is not None:
            made.append(f"{name} = {_value(value)}")
    return made


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    # TOML takes JSON's texts, numbers and truth values, but DEL only escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
