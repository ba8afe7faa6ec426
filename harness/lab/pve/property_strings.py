"""Read and write PVE's property strings (`virtio=02:DE:…,bridge=vmbr0`), in PVE's order and with its complaints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .formats import Check, FormatError
from .schema import Param, verify

_TRUE = {"1", "on", "yes", "true"}
_FALSE = {"0", "off", "no", "false"}


@dataclass(frozen=True)
class PropertyFormat:
    """The keys of one property string; `aliases` maps a spelling to (key, key that keeps the spelling or None)."""

    keys: Mapping[str, Param]
    default_key: str | None = None
    aliases: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)

    def parse(self, text: str, name: str) -> dict[str, str]:
        """The values by key; FormatError names each wrong key as `<name>.<key>`."""
        found = self._split(text)
        _, errors = verify(self.keys, found)
        if errors:
            raise FormatError("format error\n" + "\n".join(f"{name}.{key}: {error}" for key, error in errors.items()))
        return found

    def check(self, name: str) -> Check:
        """The same as a parameter's check, for the option called `name`."""

        def check(text: str) -> None:
            self.parse(text, name)

        return check

    def _split(self, text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in text.split(","):
            if not part.strip():
                continue
            key, equals, value = part.partition("=")
            if not equals:
                if self.default_key is None:
                    raise FormatError("value without key, but schema does not define a default key")
                key, value = self.default_key, part
            elif not key:
                raise FormatError("missing key in comma-separated list property")
            self._put(found, key, value)
        return found

    def _put(self, found: dict[str, str], key: str, value: str) -> None:
        if key in found:
            raise FormatError(f"duplicate key in comma-separated list property: {key}")
        if key in self.aliases:
            target, keeper = self.aliases[key]
            if keeper is not None:
                if keeper in found:
                    raise FormatError(f"key alias '{keeper}' is already defined")
                found[keeper] = key
            key = target
        if (param := self.keys.get(key)) is not None and param.kind == "boolean":
            value = "1" if value.lower() in _TRUE else "0" if value.lower() in _FALSE else value
        found[key] = value

    def render(self, values: Mapping[str, str]) -> str:
        """The default key's value first, then needed keys, then the rest, each by name."""
        parts = []
        rest = dict(values)
        if self.default_key is not None and self.default_key in rest:
            parts.append(rest.pop(self.default_key))
        for wanted in (False, True):
            keys = sorted(key for key in rest if self.keys[key].optional is wanted)
            parts += [f"{key}={rest[key]}" for key in keys]
        return ",".join(parts)
