"""Check the parameters of a call as PVE does: every mistake at once, in its words, and nothing it does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .formats import Check, FormatError

UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
MISSING = "property is missing and it is not optional"


@dataclass(frozen=True)
class Param:
    """One parameter: its kind and the limits PVE checks."""

    kind: str = "string"  # string, integer, number, boolean, array
    optional: bool = True
    check: Check | None = None
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    longest: int | None = None
    shortest: int | None = None
    pattern: str | None = None
    requires: str | None = None
    is_list: bool = False  # a text of several values of the same format
    root_only: bool = False


def text(check: Check | None = None, **limits: Any) -> Param:
    return Param("string", check=check, **limits)


def needed(param: Param) -> Param:
    """The same parameter, but not optional."""
    return Param(**{**param.__dict__, "optional": False})


def integer(minimum: float | None = None, maximum: float | None = None, **more: Any) -> Param:
    return Param("integer", minimum=minimum, maximum=maximum, **more)


def boolean(**more: Any) -> Param:
    return Param("boolean", **more)


def one_of(*values: str, **more: Any) -> Param:
    return Param("string", enum=values, **more)


def list_of(check: Check | None, **more: Any) -> Param:
    return Param("string", check=check, is_list=True, **more)


def split_list(value: str) -> list[str]:
    """The elements of a PVE list: comma, semicolon, blank or NUL between them, empty ones dropped."""
    return [part for part in re.split(r"[,;\s\0]+", value) if part]


def verify(schema: Mapping[str, Param], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """(typed values, errors by name); values are typed only where they are right."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, raw in given.items():
        param = schema.get(name)
        if param is None:
            errors[name] = UNKNOWN
            continue
        value, error = check_value(param, raw)
        if error is not None:
            errors[name] = error
        else:
            values[name] = value
        if param.requires is not None and param.requires not in given:
            errors[param.requires] = f"missing property - '{name}' requires this property"
    for name, param in schema.items():
        if not param.optional and name not in given:
            errors[name] = MISSING
    return values, errors


def check_value(param: Param, raw: Any) -> tuple[Any, str | None]:
    """(typed value, None) or (None, what is wrong with it)."""
    if param.kind == "array":
        return (raw if isinstance(raw, list) else [raw]), None
    if isinstance(raw, list) and param.is_list:
        raw = ",".join(str(item) for item in raw)
    if isinstance(raw, dict | list):
        return None, f"type check ('{param.kind}') failed - got {'HASH' if isinstance(raw, dict) else 'ARRAY'}"
    value, error = _typed(param.kind, "" if raw is None else str(raw))
    return (value, None) if error is None and (error := _limits(param, value, str(raw))) is None else (None, error)


def _typed(kind: str, raw: str) -> tuple[Any, str | None]:
    wrong = f"type check ('{kind}') failed - got '{raw}'"
    if kind == "boolean":
        return (int(raw), None) if raw in {"0", "1"} else (None, wrong)
    if kind == "integer":
        return (int(raw), None) if re.fullmatch(r"[+-]?\d+", raw) else (None, wrong)
    if kind == "number":
        return (float(raw), None) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", raw) else (None, wrong)
    return raw, None


def _limits(param: Param, value: Any, raw: str) -> str | None:
    try:
        if param.check is not None:
            for part in split_list(raw) if param.is_list else [raw]:
                param.check(part)
    except FormatError as refusal:
        return f"invalid format - {refusal}\n"
    if param.kind == "string":
        return _text_limits(param, raw)
    if param.minimum is not None and value < param.minimum:
        return f"value must have a minimum value of {param.minimum:g}"
    if param.maximum is not None and value > param.maximum:
        return f"value must have a maximum value of {int(param.maximum)}"
    return None


def _text_limits(param: Param, raw: str) -> str | None:
    if param.longest is not None and len(raw) > param.longest:
        return f"value may only be {param.longest} characters long"
    if param.shortest is not None and len(raw) < param.shortest:
        return f"value must be at least {param.shortest} characters long"
    if param.pattern is not None and not re.fullmatch(param.pattern, raw):
        return "value does not match the regex pattern"
    if param.enum and raw not in param.enum:
        return f"value '{raw}' does not have a value in the enumeration '{', '.join(param.enum)}'"
    return None
