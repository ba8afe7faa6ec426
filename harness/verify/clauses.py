"""Read the list of clauses, and find the ones a user or a spec names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from harness import safe_yaml
from harness.errors import Invalid

SEVERITIES = ("critical", "major", "minor")
SOURCES = {
    "api": "Proxmox VE's API",
    "host": "the hypervisor over SSH",
    "guest": "the VM over SSH",
    "router": "the core router's own configuration",
    "net": "seen on the wire",
    "inventory": "what is declared",
    "drill": "the last drill",
}
WHOLE = "management"  # the profile with every clause


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
class Profile:
    """A view of the contract; `authority` makes it the one of the sites that declare this authority."""

    name: str
    title: str
    clauses: frozenset[str]
    authority: str | None


@dataclass(frozen=True)
class Clauses:
    """All promises in the order of the file, the titles of their groups, and the views of them."""

    groups: Mapping[str, str]
    by_id: Mapping[str, Clause]
    file: Path
    profiles: Mapping[str, Profile]

    def profile(self, name: str | None, authority: str) -> Profile:
        """The one that is named, or the site's own."""
        if name is None:
            of_site = (one for one in self.profiles.values() if one.authority == authority)
            return next(of_site, self.profiles[WHOLE])
        if name not in self.profiles:
            raise Invalid(
                tried="select a profile",
                on=repr(name),
                happened=f"{self.file} has no such profile",
                do=f"Name one of: {', '.join(self.profiles)}",
            )
        return self.profiles[name]

    def select(self, wanted: Iterable[str], profile: Profile | None = None) -> frozenset[str]:
        """The ids of the profile that `wanted` names, in full or by leading parts; all of it when nothing is named."""
        within = profile.clauses if profile else frozenset(self.by_id)
        chosen: set[str] = set()
        for word in wanted:
            found = self._named(word)
            if not found & within:
                raise Invalid(
                    tried="select clauses",
                    on=repr(word),
                    happened=f"the profile {profile.name if profile else WHOLE} leaves it out",
                    do=f"Ask for another profile: --profile {WHOLE} has every clause",
                )
            chosen |= found & within
        return frozenset(chosen) if chosen else within

    def _named(self, word: str) -> set[str]:
        found = {known for known in self.by_id if known == word or known.startswith(f"{word.rstrip('.')}.")}
        if not found:
            raise self._unknown(word)
        return found

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
        raw = safe_yaml.load(file.read_text(encoding="utf-8"))
        groups: Mapping[str, str] = raw["groups"]
        clauses = [_parse_clause(entry, groups, file) for entry in raw["clauses"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise _broken(file, f"it cannot be read as a list of clauses ({error!r})") from error
    by_id = {clause.id: clause for clause in clauses}
    if len(by_id) != len(clauses):
        twice = sorted({clause.id for clause in clauses if [c.id for c in clauses].count(clause.id) > 1})
        raise _broken(file, f"{', '.join(twice)} stands there twice")
    whole = Profile(WHOLE, "Every promise", frozenset(by_id), None)
    clauses_alone = Clauses(groups=groups, by_id=by_id, file=file, profiles={WHOLE: whole})
    profiles = {name: _parse_profile(name, entry, clauses_alone) for name, entry in raw.get("profiles", {}).items()}
    return replace(clauses_alone, profiles={WHOLE: whole, **profiles})


def _parse_profile(name: str, entry: Mapping[str, Any], clauses: Clauses) -> Profile:
    """Ids or their leading parts, of what belongs to it or of what does not: no promise is written down again."""
    try:
        title, only, without = entry["title"], entry.get("clauses", ()), entry.get("without", ())
        if name == WHOLE or bool(only) == bool(without):
            raise _broken(clauses.file, f"the profile {name} needs either `clauses` or `without`, and another name")
        left_out = clauses.select(without) if without else frozenset[str]()
        return Profile(name, title, clauses.select(only) - left_out, entry.get("authority"))
    except (KeyError, TypeError, AttributeError) as error:
        raise _broken(clauses.file, f"the profile {name} cannot be read ({error!r})") from error


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
