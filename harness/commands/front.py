"""Turn what a command returns or raises into the exit status and the sentence the user sees."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from harness.errors import HarnessError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 128 + signal.SIGINT


class Out(Protocol):
    """Where a command says what it has to say, line by line."""

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


def front(command: Callable[..., int]) -> Callable[..., int]:
    """Run `command`; a failure becomes one sentence on standard error and its exit status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> int:
        try:
            status = command(*args, **kwargs)
            sys.stdout.flush()
        except HarnessError as error:
            _say(str(error))
            return error.exit_status
        except KeyboardInterrupt:
            _say("Interrupted. Nothing was left half known: run the same command again to go on.")
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has left; the interpreter must not trip over it again while it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        return status

    return run


def _say(sentence: str) -> None:
    with suppress(BrokenPipeError):
        lines(to_stderr=True).print(sentence, style="bold red", markup=False)
