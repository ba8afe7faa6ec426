"""Parse YAML without constructing objects, by libyaml where PyYAML has it: an order of magnitude faster."""

from __future__ import annotations

from typing import Any

import yaml

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str) -> Any:
    """The data of one document; yaml.YAMLError when it is none."""
    return yaml.load(text, LOADER)  # noqa: S506 - the safe loader, either way
