"""Say things line by line: with colours on a terminal, as they are elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console


class Out(Protocol):
    """Where what is to be said goes."""

    @property
    def is_terminal(self) -> bool: ...
    def print(self, *what: Any, style: str | None = None, markup: bool | None = None) -> None: ...
    def input(self, prompt: str = "") -> str: ...


class Lines:
    """Lines as they are, where nobody sees colours: rich alone is as much to import as all of a small command."""

    is_terminal = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def print(self, *what: Any, style: str | None = None, markup: bool | None = None) -> None:  # noqa: ARG002
        print(*what, file=self._stream, flush=True)

    def input(self, prompt: str = "") -> str:
        print(prompt, end="", file=self._stream, flush=True)
        return input()


def lines(*, to_stderr: bool = False) -> Out:
    """A console, and nothing but lines where there is no terminal."""
    stream = sys.stderr if to_stderr else sys.stdout
    if stream.isatty() or os.environ.get("FORCE_COLOR"):
        return console(to_stderr=to_stderr)
    return Lines(stream)


def console(*, to_stderr: bool = False) -> Console:
    """A console that honours NO_COLOR and is plain where nobody sits at a terminal."""
    from rich.console import Console

    # Without emoji: the `:CD:` of a fingerprint is one.
    return Console(stderr=to_stderr, highlight=False, soft_wrap=True, emoji=False)
