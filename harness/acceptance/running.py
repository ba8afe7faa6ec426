"""Run the stages of an acceptance one after another, each as a program of its own, and keep what each has said.

A stage that crashes takes nobody with it: what was found so far is kept, and the site is taken down.
"""

from __future__ import annotations

import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.site import CHECKOUT

Verdict = Literal["good", "bad", "could not", "skipped", "interrupted"]
# What a drill needs to undo what it changed, when it is told to end.
END_S = 900.0
LAST_WORDS = 3


@dataclass(frozen=True)
class Stage:
    """One command. `needs` are names of stages; one that ran and was not good keeps this one from being run."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def typed(self) -> str:
        return shlex.join(("./invoke", *self.command))


@dataclass(frozen=True)
class Done:
    """How a stage ended; `said` is its last words when it was not good, or why it was not run."""

    stage: Stage
    verdict: Verdict
    status: int
    seconds: float
    said: str
    log: Path | None

    @property
    def good(self) -> bool:
        return self.verdict == "good"


def run_stages(stages: Iterable[Stage], folder: Path, done: list[Done], tell: Callable[[str], None]) -> None:
    """Append what each stage came to; after KeyboardInterrupt what was begun is in the list as well."""
    for stage in stages:
        blocking = _blocking(stage, done)
        if blocking is not None:
            done.append(Done(stage, "skipped", 0, 0.0, f"{blocking.stage.name} was not good", None))
            tell(f"{stage.name}: not run, because {done[-1].said}")
            continue
        run_stage(stage, folder, done, tell)


def run_stage(stage: Stage, folder: Path, done: list[Done], tell: Callable[[str], None]) -> None:
    """Run one stage, shown live and kept in a file of its own."""
    tell(f"--- {stage.name}: {stage.typed}")
    log = folder / f"{len(done) + 1:02}-{stage.name.replace(' ', '-')}.log"
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as kept:
        process = subprocess.Popen(
            [str(CHECKOUT / "invoke"), *stage.command],
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            for line in process.stdout or ():
                kept.write(line)
                kept.flush()
                tell(line.rstrip("\n"))
            status = process.wait()
        except KeyboardInterrupt:
            kept.writelines(_end(process))
            done.append(Done(stage, "interrupted", 2, time.monotonic() - began, "told to end", log))
            raise
    done.append(_judged(stage, status, time.monotonic() - began, log))
    tell(f"--- {stage.name}: {done[-1].verdict} in {done[-1].seconds:.1f} s")


def _end(process: subprocess.Popen[str]) -> Iterator[str]:
    """It ends as after Ctrl-C, and undoes what it must; what it says meanwhile."""
    process.terminate()
    patience = threading.Timer(END_S, process.kill)
    patience.start()
    try:
        yield from process.stdout or ()
        process.wait()
    finally:
        patience.cancel()


def _blocking(stage: Stage, done: Iterable[Done]) -> Done | None:
    return next((one for one in done if one.stage.name in stage.needs and not one.good), None)


def _judged(stage: Stage, status: int, seconds: float, log: Path) -> Done:
    """0 good, 1 a promise is broken; everything else, also a signal, is no verdict."""
    verdict: Verdict = "good" if status == 0 else "bad" if status == 1 else "could not"
    said = "" if status == 0 else _last_words(log)
    return Done(stage, verdict, status if status in (0, 1) else 2, seconds, said, log)


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    return " | ".join(lines[-LAST_WORDS:]) or "it said nothing"
