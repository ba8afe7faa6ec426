"""What a nested hypervisor is made of: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.contract import Iso, NestedMachine
from harness.evidence import Secret


@dataclass(frozen=True)
class NestedSpec:
    """`answer` holds the tables of answer.toml without what is secret; `cache` is where golden disks are kept."""

    site: str
    iso: Iso
    machine: NestedMachine
    answer: Mapping[str, Mapping[str, Any]]
    password: Secret
    public_key: str
    cache: Path


class Progress(Protocol):
    """Where a long run says how far it is."""

    def say(self, text: str) -> None:
        """A step that begins, or something to know."""

    def share(self, what: str, done: float) -> None:
        """How much of `what` is done, from 0 to 1; told as often as it changes."""
