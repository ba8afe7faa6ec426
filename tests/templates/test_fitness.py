"""What makes a template fit, how its notes keep the result, and when it may be used."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest

from harness.errors import HarnessError
from harness.plan import Refusal
from harness.plan.fitness import (
    CloneFacts,
    Imported,
    Trial,
    is_untested,
    judge_disk,
    judge_facts,
    notes_of_an_import,
    notes_with,
    parse_imported,
    parse_trial,
)
from harness.plan.templates import choose_clone
from harness.templates.listing import list_templates
from harness.templates.proving import SCRIPT, parse_facts
from tests import sites
from tests.test_plan import site, template, vm

GIB = 1 << 30
IMPORTED = Imported("sha256:" + "ab" * 32, "lab", "debian-lab-12")
NOTES = notes_of_an_import("lab-image-1", IMPORTED)


def facts(machine_id_at: int | None, host_keys_at: Mapping[str, int]) -> CloneFacts:
    return CloneFacts(booted_at=1000, machine_id_at=machine_id_at, host_keys_at=host_keys_at)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (facts(500, {"ssh_host_rsa_key": 500}), [False, False]),
        (facts(1003, {"ssh_host_rsa_key": 1004}), [True, True]),
        (facts(999, {"ssh_host_rsa_key": 998}), [True, True]),  # both clocks count whole seconds
        (facts(None, {}), [True, True]),
        (facts(1003, {"ssh_host_ed25519_key": 1004, "ssh_host_rsa_key": 20}), [True, False]),
        (facts(20, {"ssh_host_rsa_key": 1004}), [False, True]),
    ],
)
def test_what_was_there_before_the_first_boot_is_shared_by_all_clones(seen: CloneFacts, expected: list[bool]) -> None:
    findings = judge_facts(seen)
    assert [finding.check for finding in findings] == ["machine-id", "host-keys"]
    assert [finding.ok for finding in findings] == expected


def test_a_finding_names_the_keys_that_are_shared() -> None:
    _, keys = judge_facts(facts(1003, {"ssh_host_ed25519_key": 1004, "ssh_host_rsa_key": 20}))
    assert str(keys) == "host-keys: the template has ssh_host_rsa_key, which all clones share"


@pytest.mark.parametrize(("size", "ok"), [(4 * GIB, True), (64 * GIB, True), (65 * GIB, False), (0, False)])
def test_a_virtual_disk_has_a_sane_size(size: int, ok: bool) -> None:
    assert judge_disk(sites.TEMPLATE, size).ok is ok


def test_the_inventory_may_declare_a_larger_disk() -> None:
    assert judge_disk(replace(sites.TEMPLATE, max_disk_gib=256), 256 * GIB).ok
    assert "256.0 GiB, at most 64 GiB is declared (max_disk_gib)" in judge_disk(sites.TEMPLATE, 256 * GIB).seen


def test_an_import_leaves_mark_origin_and_that_nothing_is_proven() -> None:
    assert "build: lab-image-1" in NOTES.splitlines()
    assert parse_imported(NOTES) == IMPORTED
    assert is_untested(NOTES)
    assert parse_trial(NOTES) is None


def test_a_result_takes_the_place_of_the_last_one() -> None:
    first = notes_with(NOTES, Trial(date(2026, 11, 22), ("agent", "machine-id")))
    second = notes_with(first, Trial(date(2026, 11, 23), ()))
    assert not is_untested(first)
    assert parse_trial(first) == Trial(date(2026, 11, 22), ("agent", "machine-id"))
    assert parse_trial(second) == Trial(date(2026, 11, 23), ())
    assert parse_imported(second) == IMPORTED
    assert second.count("tested=") == 1


def refusal(notes: str, accepts: Mapping[str, str] | None = None) -> Refusal | None:
    declared = replace(sites.TEMPLATE, accepts=accepts or {})
    contract = sites.contract(sites.guest(), template=declared)
    chosen = choose_clone(contract, contract.guests[0], site(template(description=notes)))
    return chosen if isinstance(chosen, Refusal) else None


def test_an_untested_template_is_not_usable() -> None:
    found = refusal(NOTES)
    assert found is not None
    assert found.reason == "template debian-lab-12 (9000) was imported and has not passed its fitness test"
    assert found.do == "Test it: ./invoke template.test --template debian"


def test_an_unfit_template_is_not_usable_and_what_failed_is_named() -> None:
    notes = notes_with(NOTES, Trial(date(2026, 11, 22), ("agent", "machine-id")))
    found = refusal(notes, {"machine-id": "provision makes them"})
    assert found is not None
    assert found.reason == "template debian-lab-12 (9000) failed its fitness test of 2026-11-22 (agent)"


def test_what_the_inventory_accepts_does_not_stop_it() -> None:
    notes = notes_with(NOTES, Trial(date(2026, 11, 22), ("machine-id", "host-keys")))
    assert refusal(notes, {"machine-id": "provision makes them", "host-keys": "and these"}) is None
    assert "(host-keys)" in str(refusal(notes, {"machine-id": "provision makes them"}))


def test_a_template_that_was_never_imported_is_as_usable_as_before() -> None:
    assert refusal("made by hand\nbuild: lab-image-1") is None


def test_the_list_says_of_each_template_whether_it_may_be_used() -> None:
    contract = sites.contract(sites.guest())
    other = template(9001, name="debian-lab-13", description=NOTES)
    declared, undeclared = list_templates(contract, site(template(description=NOTES), other, vm()))
    assert (declared.key, declared.vmid, declared.usable, declared.guests) == ("debian", 9000, False, ("metrics-vm01",))
    assert declared.state == "was imported and has not passed its fitness test"
    assert (undeclared.key, undeclared.name, undeclared.state) == (None, "debian-lab-13", "not declared")


def test_the_list_says_what_a_look_up_would_refuse() -> None:
    contract = sites.contract(sites.guest(), template=replace(sites.TEMPLATE, vmid=None))
    (row, *others) = list_templates(contract, site(template(9000), template(9001)))
    assert row.state == "the template debian-lab-12 is ambiguous: VMs 9000, 9001 have that name"
    assert not row.usable
    assert [other.vmid for other in others] == [9000, 9001]


def test_this_machine_was_there_before_its_own_boot_was_asked_for() -> None:
    """The script runs anywhere and reaches its end."""
    done = subprocess.run(["/bin/sh"], input=SCRIPT.read_text(), capture_output=True, text=True, check=True)
    found = parse_facts(done.stdout)
    assert found.booted_at > 1_600_000_000
    assert done.stderr == ""


def test_a_script_that_was_cut_off_is_no_answer() -> None:
    with pytest.raises(HarnessError, match="ended early"):
        parse_facts("mgmt-harness booted=1000\nmgmt-harness machine-id=999\n")
