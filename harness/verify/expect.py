"""Say a broken promise in one sentence: what, expected, seen, where declared, and the next command."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from _pytest.outcomes import Skipped

from harness.contract import Declared
from harness.evidence import Fact


class Broken(AssertionError):
    """A promise that does not hold: looked at, and wrong."""


class Pending(Skipped):
    """What the promise is about has not been chosen yet, and the inventory says so."""


class NotShown(Skipped):
    """What only a drill can show, and none has: neither kept nor broken, and nothing that could have been looked at."""


class HasPlace(Protocol):
    """Something the inventory declares."""

    @property
    def declared(self) -> Declared: ...


@dataclass(frozen=True)
class Expect:
    """Compare what was seen with what is declared; `site` completes the command that comes next.

    What is declared is evidence too: `note` takes it.
    """

    site: str
    note: Callable[[Fact], None]

    def __call__(self, what: str, seen: object, expected: object, *, at: HasPlace, do: str) -> None:
        """Hold `seen` against `expected`."""
        __tracebackhide__ = True
        self.that(seen == expected, what, seen, expected, at=at, do=do)

    def that(self, ok: bool, what: str, seen: object, expected: object, *, at: HasPlace, do: str) -> None:
        """As the call, for a comparison the caller made."""
        __tracebackhide__ = True
        self.note(Fact("inventory", f"{what}, declared at {place(at.declared)}", show(expected), time.time()))
        if not ok:
            raise self.broken(what, seen, expected, at=at, do=do)

    def broken(self, what: str, seen: object, expected: object, *, at: HasPlace, do: str) -> Broken:
        """The sentence of a broken promise, to be raised."""
        said = f"{what}: expected {show(expected)}, seen {show(seen)}"
        return Broken(f"{said}. Declared at {place(at.declared)}. Next: {self.command(do)}")

    def command(self, do: str) -> str:
        """`do` as something to type: a task of ours gets the site unless it has it, anything else stands as it is."""
        if not do.startswith("./invoke ") or " --site " in do:
            return do
        task, _, rest = do.removeprefix("./invoke ").partition(" ")
        return f"./invoke {task} --site {self.site} {rest}".rstrip()


def show(value: object) -> str:
    """A value as a reader expects it in a sentence."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "nothing"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {show(part)}" for key, part in value.items()) or "none"
    if isinstance(value, frozenset | set):
        return ", ".join(sorted(map(show, value))) or "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(show, value)) or "none"
    return str(value)


def show_turns(turns: Iterable[Iterable[str]]) -> str:
    """`jump-vm01 + oob-vm01, then logs-vm01`."""
    return ", then ".join(" + ".join(turn) for turn in turns)


def place(declared: Declared) -> str:
    """file:line, short when it is below the current directory."""
    here = os.getcwd()  # noqa: PTH109 - hundreds of checks ask, and a Path takes longer to make than all the rest
    return f"{_shortened(declared.file, here)}:{declared.line}"


@lru_cache(maxsize=512)
def _shortened(file: Path, here: str) -> Path:
    return file.relative_to(here) if file.is_relative_to(here) else file
