"""A broken promise is one sentence: what, expected, seen, where declared, and what to type next."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.contract import Declared
from harness.evidence import Fact
from harness.verify.expect import Broken, Expect, place, show
from tests import sites

NOTED: list[Fact] = []
EXPECT = Expect("dvntm", NOTED.append)


def test_the_sentence_has_all_its_parts() -> None:
    with pytest.raises(Broken) as caught:
        EXPECT("protection of metrics-vm01", False, True, at=sites.guest(), do="./invoke plan --guest metrics-vm01")
    assert str(caught.value) == (
        "protection of metrics-vm01: expected yes, seen no. Declared at inventory/lab/host_vars/x.yml:3. "
        "Next: ./invoke plan --site dvntm --guest metrics-vm01"
    )


def test_what_is_no_command_of_ours_stands_as_it_is() -> None:
    with pytest.raises(Broken, match=r"Next: Remove it there$"):
        EXPECT.that(False, "x", 1, 2, at=sites.guest(), do="Remove it there")


def test_a_kept_promise_says_nothing() -> None:
    EXPECT("x", 1, 1, at=sites.guest(), do="./invoke plan")
    EXPECT.that(True, "x", 1, 2, at=sites.guest(), do="./invoke plan")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        ("", "nothing"),
        ((), "none"),
        (frozenset({"b", "a"}), "a, b"),
        ({"net0": ("vmbr0", None)}, "net0: vmbr0, nothing"),
        ({"a.lab": {IPv4Address("198.18.99.30")}}, "a.lab: 198.18.99.30"),
        (True, "yes"),
        (10, "10"),
    ],
)
def test_values_are_shown_as_words(value: object, text: str) -> None:
    assert show(value) == text


def test_a_place_below_the_current_folder_is_short() -> None:
    assert place(Declared(Path.cwd() / "inventory/lab/hosts.yml", 4)) == "inventory/lab/hosts.yml:4"
    assert place(Declared(Path("/elsewhere/hosts.yml"), 4)) == "/elsewhere/hosts.yml:4"


def test_what_is_declared_is_evidence_of_a_pass_too() -> None:
    NOTED.clear()
    EXPECT("protection of logs-vm01", True, True, at=sites.guest(), do="./invoke plan")
    assert [(fact.source, fact.answered) for fact in NOTED] == [("inventory", "yes")]
    assert "inventory/lab/host_vars/x.yml:3" in NOTED[0].asked
