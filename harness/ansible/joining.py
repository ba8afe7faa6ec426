"""Let processes that each want one guest share one run: whoever is first works for all that are there.

Ansible forks a process per host, and the engine plans a site as a whole and locks it. So each process leaves a wish,
and whoever gets the turn takes all wishes of the play into one run; the others wait for its answer to theirs. A holder
of the turn that is killed leaves it to the next, who finds its own wish unanswered and begins again.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from harness.wait import wait_until

Answer = dict[str, Any]
Work = Callable[[Set[str]], Mapping[str, Answer]]

# A process that is still to come is waited for as long as others came this short a time ago. It only costs time when
# a condition keeps a host away, and one more run when it was too short.
PATIENCE_S = 2.0


@dataclass(frozen=True)
class Party:
    """How many may come in all, and how many of them side by side."""

    size: int
    at_once: int

    def expected(self, gone: int) -> int:
        return max(1, min(self.at_once, self.size - gone))


def join(folder: Path, name: str, party: Party, work: Work, *, patience_s: float = PATIENCE_S) -> Answer:
    """The answer to `name`, from a run of `work` here or in another process that uses the same folder.

    `work` must answer each of the names it is given.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = folder / f"{quote(name, safe='')}.wish"
    own.touch()
    try:
        with (folder / "turn").open("w") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            answer = own.with_suffix(".answer")
            if not answer.exists():
                for one, said in work(_gather(folder, party, patience_s)).items():
                    _write(folder / f"{quote(one, safe='')}.answer", said)
            return _take(answer)
    finally:
        own.unlink(missing_ok=True)


def _gather(folder: Path, party: Party, patience_s: float) -> frozenset[str]:
    """The names with a wish and no answer, once all that are expected are there or nobody has come for a while."""
    expected = party.expected(sum(1 for _ in folder.glob("*.gone")))
    seen: frozenset[str] = frozenset()
    since = time.monotonic()

    def look() -> tuple[frozenset[str] | None, str]:
        nonlocal seen, since
        found = frozenset(
            unquote(wish.stem) for wish in folder.glob("*.wish") if not wish.with_suffix(".answer").exists()
        )
        if found != seen:
            seen, since = found, time.monotonic()
        complete = len(found) >= expected or time.monotonic() - since >= patience_s
        return (found if complete else None), f"{len(found)} of {expected}"

    waited = wait_until(look, deadline_s=patience_s * (expected + 1), first_pause_s=0.02, longest_pause_s=0.05)
    return waited.value or seen


def _write(path: Path, answer: Answer) -> None:
    """In one step: the next holder of the turn must not find half an answer of one that was killed."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(answer))
    unfinished.replace(path)


def _take(path: Path) -> Answer:
    """Each answer is for one question: a loop may ask again."""
    answer: Answer = json.loads(path.read_text())
    path.with_suffix(".gone").touch()
    path.unlink()
    return answer
