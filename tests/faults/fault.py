"""One seeded fault: what is broken, which clauses must go red for it, and how a run of verify is held against that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tasks
from harness.report.model import ClauseResult
from tests.faults.bench import Look
from tests.faults.ways import Way

# What an operator needs of every broken promise.
SENTENCE = re.compile(
    r".+: expected .+, seen .+\. Declared at (?P<file>\S+):(?P<line>\d+)\. Next: (?P<next>.+)", re.DOTALL
)
OF_A_WAIVER = (
    re.compile(r"The waiver ended on .+ \((?P<file>\S+):(?P<line>\d+)\): .+\. (?P<next>Keep the promise, or renew .+)"),
    re.compile(r"The waiver is no longer needed: .+ (?P<next>Remove it): (?P<file>\S+):(?P<line>\d+)"),
)
COMMAND = re.compile(r"\./invoke +([a-z.]+[a-z])")
CRASHED = ("Traceback", "The spec itself broke", "INTERNALERROR")


@dataclass(frozen=True)
class Fault:
    """What these clauses must come to while all others hold; `says` is what the first of them says of it."""

    what: str
    fails: tuple[str, ...]
    says: str
    seed: Way
    unknown: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def clauses(self) -> tuple[str, ...]:
        """Every clause that does not hold then."""
        return (*self.fails, *self.unknown, *self.pending)

    def __str__(self) -> str:
        return self.what


def complaints(fault: Fault, look: Look) -> list[str]:
    """Everything that a run says too much, too little, or not well enough of the fault; nothing when it was found."""
    return [*_verdicts(fault, look), *_words(fault, look), *crashes(look)]


def _verdicts(fault: Fault, look: Look) -> Iterator[str]:
    expected = {
        **dict.fromkeys(fault.fails, "fail"),
        **dict.fromkeys(fault.unknown, "unknown"),
        **dict.fromkeys(fault.pending, "pending"),
    }
    for clause in look.report.clauses:
        wanted = expected.get(clause.id, "pass")
        if clause.verdict != wanted:
            yield f"{clause.id} should be {wanted}, and is {clause.verdict}: {' / '.join(messages(clause)[:3])}"
    status = 2 if fault.unknown or fault.pending else 1
    if look.report.exit_status != status:
        yield f"the exit status should be {status}, and is {look.report.exit_status}"
    yield from look.report.problems


def _words(fault: Fault, look: Look) -> Iterator[str]:
    first = next(clause for clause in look.report.clauses if clause.id == fault.clauses[0])
    if not any(fault.says in text for text in (first.message, *messages(first))):
        yield f"{first.id} does not say {fault.says!r}, but: {' / '.join(messages(first))}"
    for clause in look.report.of("fail"):
        for text in messages(clause):
            yield from (f"{clause.id} says no more than {text!r}: {lack}" for lack in _lacks(text))


def _lacks(text: str) -> Iterator[str]:
    """What is missing in the sentence of a broken promise."""
    found = next((match for form in (SENTENCE, *OF_A_WAIVER) if (match := form.fullmatch(text))), None)
    if found is None:
        yield "expected, seen, where declared and what next belong into it"
        return
    file = Path(found["file"])
    if not file.is_file() or not 1 <= int(found["line"]) <= len(file.read_text().splitlines()):
        yield f"there is no line {found['line']} in {file}"
    unknown = set(COMMAND.findall(found["next"])) - set(tasks.namespace.task_names)
    if unknown:
        yield f"there is no command {', '.join(sorted(unknown))}"


def crashes(look: Look) -> Iterator[str]:
    """Signs that something broke that should have been told."""
    said = [look.printed, *(check.message for clause in look.report.clauses for check in clause.checks)]
    yield from (f"{word} is said" for word in CRASHED if any(word in text for text in said))


def messages(clause: ClauseResult) -> list[str]:
    """What its checks of that verdict say; where there is none, the clause says it itself."""
    return [check.message for check in clause.checks if check.verdict == clause.verdict] or [clause.message]


def red_specs(look: Look) -> set[str]:
    """The names of the specs that were red, or pending, whatever they ran for."""
    checks = [check for clause in look.report.clauses for check in clause.checks]
    return {check.name.partition("[")[0] for check in checks if check.verdict in ("fail", "pending")}
