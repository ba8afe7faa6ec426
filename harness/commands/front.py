"""Turn what a command returns or raises into the exit status and the sentence the user sees."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from harness.errors import HarnessError
from harness.printing import lines

INTERRUPTED = 128 + signal.SIGINT


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
