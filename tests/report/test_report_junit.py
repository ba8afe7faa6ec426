"""JUnit XML of a run: valid for everybody, wrong and could-not-look apart, and nothing waived that breaks a build."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
import xmlschema

from harness.evidence import Fact
from harness.report.junit import render_junit
from harness.report.model import Report
from tests.report.values import check, clause, report

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))


def read(value: Report) -> Element:
    text = render_junit(value)
    SCHEMA.validate(text)
    return ElementTree.fromstring(text)  # noqa: S314 - ours


def suite(root: Element, name: str) -> Element:
    return next(one for one in root if one.get("name") == name)


def cases(root: Element, name: str) -> list[list[str]]:
    """What each case of a suite holds."""
    return [[child.tag for child in case] for case in suite(root, name).iter("testcase")]


def properties(root: Element, name: str) -> dict[str | None, str | None]:
    return {one.get("name"): one.get("value") for one in suite(root, name).iter("property")}


def test_it_is_valid_whatever_the_run_found() -> None:
    read(report())
    read(report(problems=("The run ended early.",)))
    read(report("pass", clauses=()))


@pytest.mark.parametrize("broken", ["<testsuites><testsuite/></testsuites>", "<testsuites><testcase/></testsuites>"])
def test_the_schema_refuses_what_is_none(broken: str) -> None:
    assert not SCHEMA.is_valid(broken)


def test_each_verdict_has_its_element() -> None:
    root = read(report())
    assert cases(root, "network.bridge") == [[]]
    assert cases(root, "network.dns") == [["failure"], []]
    assert cases(root, "network.address") == [["error"]]
    assert cases(root, "hardware.memory") == [["skipped"]], "a waived clause breaks nobody's build"
    assert cases(root, "hardware.nic") == [["error"]], "a hole in the verdict is one"
    assert cases(root, "backup.recent") == [["skipped"]], "a clause without checks is there all the same"


def test_a_clause_that_is_wrong_by_itself_is_a_case() -> None:
    ended = clause("network.dns", "fail", check("pass"), message="The waiver ended on 2026-11-01")
    root = read(report("fail", clauses=(ended,)))
    assert cases(root, "network.dns") == [[], ["failure"]]
    assert "The waiver ended" in ElementTree.tostring(root, encoding="unicode")


def test_the_numbers_are_those_of_the_cases() -> None:
    for one in read(report(problems=("It broke.",))):
        counted = {
            tag: sum(case.find(tag) is not None for case in one.iter("testcase")) for tag in ("failure", "error")
        }
        said = {"failure": int(one.attrib["failures"]), "error": int(one.attrib["errors"])}
        assert (said, int(one.attrib["tests"])) == (counted, len(list(one.iter("testcase"))))


def test_a_suite_carries_its_clause_as_properties() -> None:
    found = properties(read(report()), "hardware.memory")
    assert found["clause"] == "hardware.memory"
    assert (found["severity"], found["verdict"], found["source"]) == ("major", "waived", "VS")
    assert (found["waiver.until"], found["waiver.owner"]) == ("2026-12-01", "ops")


def test_the_evidence_stands_there_also_for_what_holds() -> None:
    said = suite(read(report()), "network.bridge").findtext("system-out")
    assert said is not None
    assert "09:33:20Z net: PTR 198.18.99.30 at 198.18.99.1\n    -> wrong.lab.deevnet.net <b>" in said


def test_what_xml_cannot_carry_does_not_break_it() -> None:
    odd = replace(check("fail", message="bell \x07 and \ud800"), evidence=(Fact("guest", "cat", "\x1b[1m\x00", 0.0),))
    root = read(report("fail", clauses=(clause("network.dns", "fail", odd, message="bell \x07"),)))
    assert "bell \N{REPLACEMENT CHARACTER}" in ElementTree.tostring(root, encoding="unicode")
