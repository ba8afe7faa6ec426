"""One seeded fault: what is broken, which clauses must go red for it, and how a run of verify is held against that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tasks
from harness.report.model import ClauseResult, Verdict
from tests.faults.bench import Look
from tests.faults.ways import Way

# What an operator needs of every broken promise.
SENTENCE = re.compile(
    r".+: expected .+, seen .+\. Declared at (?P<file>\S+):(?P<line>\d+)\. Next: (?P<next>.+)", re.DOTALL
)
ENDED = re.compile(r"The waiver .+ \((?P<file>\S+):(?P<line>\d+)\): .+\. (?P<next>[A-Z].+)", re.DOTALL)
COMMAND = re.compile(r"\./invoke +([a-z.]+[a-z])")
CRASHED = ("Traceback", "The spec itself broke", "INTERNALERROR")


@dataclass(frozen=True)
class Fault:
    """`fails` must be red, `unknown` not be judged, all other clauses hold; `says` is what the first of them says."""

    what: str
    fails: tuple[str, ...]
    says: str
    seed: Way
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.what


def complaints(fault: Fault, look: Look) -> list[str]:
    """Everything that a run says too much, too little, or not well enough of the fault; nothing when it was found."""
    return [*_verdicts(fault, look), *_words(fault, look), *crashes(look)]


def _verdicts(fault: Fault, look: Look) -> Iterator[str]:
    for verdict, wanted in (("fail", fault.fails), ("unknown", fault.unknown)):
        seen = {clause.id for clause in look.report.clauses if clause.verdict == verdict}
        yield from (f"{clause} should be {verdict}, and is not" for clause in sorted(set(wanted) - seen))
        yield from (f"{clause} is {verdict} as well: {_said(look, clause)}" for clause in sorted(seen - set(wanted)))
    for clause in look.report.clauses:
        if clause.verdict in ("pending", "waived") or (clause.verdict == "unasserted" and clause.checks):
            yield f"{clause.id} is {clause.verdict}"
    status = 2 if fault.unknown else 1
    if look.report.exit_status != status:
        yield f"the exit status should be {status}, and is {look.report.exit_status}"
    yield from look.report.problems


def _words(fault: Fault, look: Look) -> Iterator[str]:
    first = next(clause for clause in look.report.clauses if clause.id == (*fault.fails, *fault.unknown)[0])
    if not any(fault.says in text for text in messages(first)):
        yield f"{first.id} does not say {fault.says!r}, but: {' / '.join(messages(first))}"
    for clause in look.report.of("fail"):
        for text in messages(clause):
            yield from (f"{clause.id} says no more than {text!r}: {lack}" for lack in _lacks(text))


def _lacks(text: str) -> Iterator[str]:
    """What is missing in the sentence of a broken promise."""
    found = SENTENCE.fullmatch(text) or ENDED.fullmatch(text)
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
    """The names of the specs that were red, whatever they ran for."""
    return {
        check.name.partition("[")[0]
        for clause in look.report.clauses
        for check in clause.checks
        if check.verdict == "fail"
    }


def _said(look: Look, clause_id: str) -> str:
    clause = next(clause for clause in look.report.clauses if clause.id == clause_id)
    grave: tuple[Verdict, ...] = ("fail", "unknown")
    said = [check.message for check in clause.checks if check.verdict in grave]
    return " / ".join(said[:3] or [clause.message])
