"""Read the list of clauses, and find the ones a user or a spec names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import Invalid

SEVERITIES = ("critical", "major", "minor")
SOURCES = ("api", "host", "guest", "router", "net", "inventory", "drill")


@dataclass(frozen=True)
class Clause:
    """One promise of the documented contract."""

    id: str
    group: str
    title: str
    promise: str
    evidence: tuple[str, ...]
    source: str
    severity: str


@dataclass(frozen=True)
class Clauses:
    """All promises in the order of the file, and the titles of their groups."""

    groups: Mapping[str, str]
    by_id: Mapping[str, Clause]
    file: Path

    def select(self, wanted: Iterable[str]) -> frozenset[str]:
        """The ids that `wanted` names, in full or by leading parts; everything when nothing is named."""
        chosen: set[str] = set()
        for word in wanted:
            found = {known for known in self.by_id if known == word or known.startswith(f"{word.rstrip('.')}.")}
            if not found:
                raise self._unknown(word)
            chosen |= found
        return frozenset(chosen) if chosen else frozenset(self.by_id)

    def near(self, word: str) -> list[str]:
        """The ids and their leading parts that look most like `word`."""
        names = [*self.by_id, *dict.fromkeys(known.partition(".")[0] for known in self.by_id)]
        last = word.rpartition(".")[2]
        alike = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
        return alike or [known for known in self.by_id if last and last in known][:3]

    def _unknown(self, word: str) -> Invalid:
        near = self.near(word)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        return Invalid(
            tried="select clauses",
            on=f"{word!r}",
            happened=f"no clause in {self.file} has this id or begins with it",
            do=f"{hint}The ids stand in {self.file}",
        )


def load_clauses(file: Path) -> Clauses:
    """The clauses of `file`; a mistake in it is an Invalid that names the entry."""
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
        groups: Mapping[str, str] = raw["groups"]
        clauses = [_parse_clause(entry, groups, file) for entry in raw["clauses"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise _broken(file, f"it cannot be read as a list of clauses ({error!r})") from error
    by_id = {clause.id: clause for clause in clauses}
    if len(by_id) != len(clauses):
        twice = sorted({clause.id for clause in clauses if [c.id for c in clauses].count(clause.id) > 1})
        raise _broken(file, f"{', '.join(twice)} stands there twice")
    return Clauses(groups=groups, by_id=by_id, file=file)


def _parse_clause(entry: Mapping[str, Any], groups: Mapping[str, str], file: Path) -> Clause:
    clause = Clause(
        id=entry["id"],
        group=entry["group"],
        title=entry["title"],
        promise=" ".join(entry["promise"].split()),
        evidence=tuple(entry["evidence"]),
        source=entry["source"],
        severity=entry["severity"],
    )
    if clause.group not in groups:
        raise _broken(file, f"{clause.id} is in group {clause.group!r}, which is not listed")
    if clause.severity not in SEVERITIES:
        raise _broken(file, f"{clause.id} has severity {clause.severity!r}, not one of {', '.join(SEVERITIES)}")
    if strange := set(clause.evidence) - set(SOURCES):
        raise _broken(file, f"{clause.id} names evidence {sorted(strange)}, not of {', '.join(SOURCES)}")
    return clause


def _broken(file: Path, happened: str) -> Invalid:
    return Invalid(tried="load the clauses", on=str(file), happened=happened, do="Correct that entry")
