"""Print a contract as plain data: what the inventory comes down to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from harness.contract import Contract, Declared, SecretRef


def show(contract: Contract) -> dict[str, Any]:
    """Mappings, lists, texts and numbers only; a secret appears as its reference."""
    shown = _plain(contract)
    assert isinstance(shown, dict)  # noqa: S101 - a dataclass becomes a mapping
    return shown


def _plain(value: Any) -> Any:
    if isinstance(value, SecretRef):
        store = {"store": _plain(value.store)} if value.store else {}
        return {value.kind: _plain(value.value)} | store
    if is_dataclass(value) and not isinstance(value, type | Declared):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset):
        items = [_plain(item) for item in value]
        return sorted(items) if isinstance(value, frozenset) else items
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
