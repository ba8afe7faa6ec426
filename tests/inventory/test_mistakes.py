"""One mistake in an inventory is one problem, at its file and line, in words that say what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from harness import errors, inventory
from harness.inventory import resolve
from tests.inventory.mistakes import DEFAULTS, HOSTS, HV, SITE, VM, Mistake
from tests.inventory.mistakes_of_form import (
    KEY_MISTAKES,
    ROUTER_MISTAKES,
    SECRET_MISTAKES,
    WAIVER_MISTAKES,
    YAML_MISTAKES,
)
from tests.inventory.mistakes_of_identity import MAC_MISTAKES, SHARED_MISTAKES
from tests.inventory.mistakes_of_nested import NESTED_MISTAKES
from tests.inventory.mistakes_of_place import CORE_MISTAKES, NETWORK_MISTAKES, PLACE_MISTAKES
from tests.inventory.mistakes_of_templates import TEMPLATE_MISTAKES
from tests.inventory.trees import copy_shipped

SITES = ("dvnt", "dvntm", "lab", "nested")
TODAY = date(2026, 11, 22)


TABLES = {
    "yaml": YAML_MISTAKES,
    "keys": KEY_MISTAKES,
    "router": ROUTER_MISTAKES,
    "mac": MAC_MISTAKES,
    "shared": SHARED_MISTAKES,
    "network": NETWORK_MISTAKES,
    "place": PLACE_MISTAKES,
    "core": CORE_MISTAKES,
    "secret": SECRET_MISTAKES,
    "waiver": WAIVER_MISTAKES,
    "template": TEMPLATE_MISTAKES,
    "nested": NESTED_MISTAKES,
}
CASES = [pytest.param(case, id=f"{table}: {case.name}") for table, cases in TABLES.items() for case in cases]


def called(name: str) -> Mistake:
    """The case of that id."""
    table, _, rest = name.partition(": ")
    return next(case for case in TABLES[table] if case.name == rest)


def known_doubts(problems: list[inventory.Problem]) -> set[tuple[str, str]]:
    return {(problem.file.name, problem.path) for problem in problems if problem.severity == "warning"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """What the shipped sites are known not to know yet."""
    problems = inventory.check(copy_shipped(tmp_path_factory.mktemp("shipped"), *SITES), today=TODAY)
    assert [problem for problem in problems if problem.severity == "error"] == []
    return known_doubts(problems)


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_found_alone(case: Mistake, tmp_path: Path, shipped: set[tuple[str, str]]) -> None:
    folder = copy_shipped(tmp_path, *SITES)
    edited = folder / case.file
    text = edited.read_text()
    assert text.count(case.old) >= 1, f"{case.file} no longer holds {case.old!r}"
    edited.write_text(text.replace(case.old, case.new, 1))

    problems = inventory.check(folder, today=TODAY)
    found = [problem for problem in problems if problem.severity == "error"]
    found += [one for one in problems if one.severity == "warning" and (one.file.name, one.path) not in shipped]

    assert len(found) == 1, "\n".join(map(str, found))
    (problem,) = found
    assert problem.severity == case.severity
    at = folder / (case.at or case.file)
    assert problem.file == at
    assert case.line in at.read_text().splitlines()[problem.line - 1], str(problem)
    for word in case.words:
        assert word in str(problem)
    assert str(problem).startswith(f"{at}:{problem.line}: ")
    assert "1b6f7c2a" not in str(problem)
    assert "hunter2" not in str(problem)


def test_a_host_that_is_renamed_breaks_the_grammar(tmp_path: Path) -> None:
    folder = copy_shipped(tmp_path, *SITES)
    hosts = folder / HOSTS
    hosts.write_text(hosts.read_text().replace("logs-vm01", "logs_vm01"))
    (folder / VM).rename(folder / "dvntm/host_vars/logs_vm01.yml")
    (problem,) = [one for one in inventory.check(folder, ["dvntm"], today=TODAY) if one.severity == "error"]
    assert "the name 'logs_vm01'" in str(problem)
    assert "[role-]formNN" in str(problem)
    assert problem.file.name == "logs_vm01.yml"


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    """All mistakes of one folder in one answer, in the order of files and lines."""
    folder = copy_shipped(tmp_path, *SITES)
    hidden = called("network: outside the segment")  # not to be judged while its segment's own gateway is wrong
    chosen = [
        called("mac: without quotes"),
        called("network: a gateway outside"),
        called("place: unknown bridge"),
        called("place: memory that does not fit"),
        called("waiver: no reason"),
        called("core: a DNS server's unit"),
        called("secret: a password as value"),
    ]
    for case in (hidden, *chosen):
        file = folder / case.file
        file.write_text(file.read_text().replace(case.old, case.new, 1))
    problems = [one for one in inventory.check(folder, today=TODAY) if one.severity == "error"]
    text = "\n".join(map(str, problems))
    for case in chosen:
        for word in case.words:
            assert word in text
    assert len(problems) == len(chosen), text
    assert problems == sorted(problems, key=lambda one: (str(one.file), one.line))


@pytest.mark.parametrize("file", [HV, VM, HOSTS, SITE, DEFAULTS])
def test_no_lost_line_ends_in_a_traceback(file: str, tmp_path: Path) -> None:
    """Whatever line is missing, the folder is judged, and what is judged sound can be resolved."""
    folder = copy_shipped(tmp_path, "dvntm")
    edited = folder / file
    lines = edited.read_text().splitlines(keepends=True)
    sound = 0
    for place in range(len(lines)):
        edited.write_text("".join(lines[:place] + lines[place + 1 :]))
        if not [problem for problem in inventory.check(folder, today=TODAY) if problem.severity == "error"]:
            sound += 1
            assert len(resolve(inventory.load(folder, "dvntm"), state_dir=tmp_path).guests) == 10
    assert sound < len(lines)


def test_load_refuses_with_the_count_and_the_first(tmp_path: Path) -> None:
    folder = copy_shipped(tmp_path, *SITES)
    for case in (called("mac: five bytes"), called("network: outside the segment")):
        file = folder / case.file
        file.write_text(file.read_text().replace(case.old, case.new, 1))
    with pytest.raises(errors.Invalid) as caught:
        inventory.load(folder, "dvntm")
    assert "2 problems; the first: " in str(caught.value)
    assert f"{folder / VM}:6" in str(caught.value)
    assert "inventory.check" in str(caught.value)
    assert inventory.load(folder, "dvnt").site == "dvnt", "a site is not refused for another's mistakes"


def test_a_warning_refuses_nothing(tmp_path: Path) -> None:
    assert inventory.load(copy_shipped(tmp_path, "dvnt"), "dvnt").settings.status == "pending"


@pytest.mark.parametrize(
    ("prepare", "site", "words"),
    [
        (lambda folder: folder / "nowhere", "dvntm", ("there is no such folder", "--inventory")),
        (lambda folder: folder, "dvntn", ("there is no site 'dvntn'", "Choose one of dvnt, dvntm")),
        (lambda folder: folder / "dvntm" / "host_vars", "dvntm", ("it holds no site", "hosts.yml")),
    ],
    ids=["no folder", "no such site", "no sites"],
)
def test_a_wrong_request_says_what_there_is(
    prepare: Callable[[Path], Path], site: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    folder = prepare(copy_shipped(tmp_path, "dvnt", "dvntm"))
    with pytest.raises(errors.Invalid) as caught:
        inventory.load(folder, site)
    for word in words:
        assert word in str(caught.value)
