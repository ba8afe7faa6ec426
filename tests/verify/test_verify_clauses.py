"""The list of clauses: read whole or refused, and found by what a user types."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Invalid
from harness.verify.clauses import load_clauses

ROOT = Path(__file__).parent.parent.parent
OURS = load_clauses(ROOT / "specs" / "clauses.yml")

ENTRY = """\
  - id: {id}
    group: {group}
    title: T
    promise: P
    evidence: [{evidence}]
    source: S
    severity: {severity}
"""


def write(folder: Path, *entries: str) -> Path:
    file = folder / "clauses.yml"
    file.write_text("groups: {network: Network}\nclauses:\n" + "".join(entries))
    return file


def entry(clause: str = "network.dns", group: str = "network", evidence: str = "net", severity: str = "major") -> str:
    return ENTRY.format(id=clause, group=group, evidence=evidence, severity=severity)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([entry(), entry()], "network.dns stands there twice"),
        ([entry(group="nets")], "network.dns is in group 'nets'"),
        ([entry(severity="bad")], "network.dns has severity 'bad'"),
        ([entry(evidence="rumour")], "network.dns names evidence ['rumour']"),
        (["  - id: network.dns\n"], "cannot be read as a list of clauses (KeyError"),
        (["  - [\n"], "cannot be read as a list of clauses (ParserError"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, entries: list[str], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_clauses(write(tmp_path, *entries))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("x: {clauses: [network]}", "the profile x cannot be read (KeyError('title')"),
        ("x: {title: X}", "the profile x needs either `clauses` or `without`"),
        ("x: {title: X, clauses: [network.dns], without: [network]}", "either `clauses` or `without`"),
        ("management: {title: X, clauses: [network.dns]}", "and another name"),
    ],
)
def test_a_mistake_in_a_profile_is_named(tmp_path: Path, profile: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_clauses(write(tmp_path, entry(), f"profiles:\n  {profile}\n"))
    assert words in str(caught.value)


def test_a_profile_cannot_name_what_is_no_clause(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no clause in .* has this id or begins with it"):
        load_clauses(write(tmp_path, entry(), "profiles:\n  x: {title: X, clauses: [netwrk]}\n"))


def test_our_profiles_are_views_of_the_same_clauses() -> None:
    assert set(OURS.profiles) == {"management", "tenant-separation", "bootstrap-authority"}
    assert OURS.profile(None, "core").clauses == frozenset(OURS.by_id)
    assert OURS.profile(None, "bootstrap").name == "bootstrap-authority"
    assert "recovery.router-alone" not in OURS.profile(None, "bootstrap").clauses
    separation = OURS.profile("tenant-separation", "core").clauses
    assert {"separation.no-tenants", "standalone.no-cluster", "recovery.tenant-loss"} <= separation
    assert "hardware.memory" not in separation


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"load the clauses on .*clauses\.yml.*No such file"):
        load_clauses(tmp_path / "clauses.yml")


def test_nothing_named_selects_everything() -> None:
    assert OURS.select([]) == frozenset(OURS.by_id)


@pytest.mark.parametrize("word", ["network", "network."])
def test_a_prefix_selects_its_clauses(word: str) -> None:
    assert OURS.select([word]) == {clause for clause in OURS.by_id if clause.startswith("network.")}


def test_an_id_selects_itself_alone() -> None:
    assert OURS.select(["identity.mac-seen", "recovery.protected"]) == {"identity.mac-seen", "recovery.protected"}


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("network.dsn", "network.dns"),
        ("netwrk", "network"),
        ("mac-applied", "identity.mac-applied"),
        ("net", "network"),
    ],
)
def test_an_unknown_id_names_the_near_ones(word: str, near: str) -> None:
    with pytest.raises(Invalid) as caught:
        OURS.select([word])
    assert f"{word!r}" in str(caught.value)
    assert near in str(caught.value).partition("Did you mean ")[2]
