"""Ask a host many questions in one round trip, and keep each answer apart with its own evidence."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.errors import Refused, TimedOut
from harness.evidence import Evidence, Fact


@dataclass(frozen=True)
class Answer:
    """One command's exit status and output (both streams), and the fact that records them."""

    command: str
    rc: int
    output: str
    fact: Fact


@dataclass(frozen=True)
class Answers:
    """What one host said; reading an answer makes it evidence of the check that reads."""

    host: str
    by_name: Mapping[str, Answer]
    note: Callable[[Fact], None]

    def answer(self, name: str) -> Answer:
        """The answer whatever its exit status, for commands whose status is the answer."""
        answer = self.by_name[name]
        self.note(answer.fact)
        return answer

    def text(self, name: str) -> str:
        """The output of a command that must succeed to mean anything."""
        answer = self.answer(name)
        if answer.rc != 0:
            raise Refused(
                tried=f"run `{answer.command}`",
                on=self.host,
                happened=f"it ended with {answer.rc}: {answer.output.strip() or 'no output'}",
                do=f"Run it there by hand to see why, for example by ssh to {self.host}",
            )
        return answer.output


def sort_answers(
    host: str,
    commands: Mapping[str, str],
    said: Mapping[str, tuple[int, str]],
    *,
    source: str,
    evidence: Evidence,
    note: Callable[[Fact], None],
    at: float | None = None,
) -> Answers:
    """Each command with what was said to it, as evidence of its own; TimedOut when one is missing.

    `at` is when that was, for answers that have been here for a while.
    """
    if missing := [name for name in commands if name not in said]:
        raise TimedOut(
            tried="read the facts",
            on=host,
            happened=f"the answer ends before {', '.join(missing)}",
            do="Look whether the host is overloaded or restarting, and run again",
        )
    answers = {
        name: Answer(command, *said[name], evidence.record(source, f"{host}: {command}", _shown(*said[name]), at))
        for name, command in commands.items()
    }
    return Answers(host, answers, note)


def new_mark() -> str:
    """What no command says by chance."""
    return f"mgmt-{secrets.token_hex(6)}"


def render_batch(commands: Mapping[str, str], mark: str) -> str:
    """A POSIX script that runs each command in a subshell and frames its output with `mark`."""
    parts = (
        f"printf '%s\\n' '{mark} {name}'\n(\n{command}\n) </dev/null 2>&1\nprintf '\\n%s %d\\n' '{mark} end' $?"
        for name, command in commands.items()
    )
    return "export LC_ALL=C\n" + "\n".join(parts) + "\n"


def parse_batch(text: str, mark: str) -> dict[str, tuple[int, str]]:
    """Exit status and output by name; a command that was cut off is left out."""
    return {name: (rc, output.strip("\n")) for name, (rc, output) in parse_frames(text, mark).items()}


def parse_frames(text: str, mark: str) -> dict[str, tuple[int, str]]:
    """The same with the output as it was, to the last line break."""
    frame = re.compile(
        rf"^{re.escape(mark)} (?P<name>[\w-]+)\n(?P<output>.*?)\n{re.escape(mark)} end (?P<rc>\d+)$", re.M | re.S
    )
    return {found["name"]: (int(found["rc"]), found["output"]) for found in frame.finditer(text)}


def _shown(rc: int, output: str) -> str:
    return output if rc == 0 else f"(ended with {rc}) {output}"
