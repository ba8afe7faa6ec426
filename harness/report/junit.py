"""Render a run as JUnit XML that both common schemas (Ant's and Jenkins') accept: one suite a clause, one case a check.

What distinguishes a clause stands in its suite's properties, for a case may have none in either schema. A waived clause
fails nobody's build: its checks are skipped, whatever they say. "Wrong" is a failure, "could not look" an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from harness.evidence import Fact
from harness.report.model import Check, ClauseResult, Report, Verdict

# What XML 1.0 cannot carry, not even escaped: a guest may answer with anything. As what it can, it takes ten times as
# long to compile.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
TAGS: dict[Verdict, str] = {
    "fail": "failure",
    "unknown": "error",
    "waived": "skipped",
    "pending": "error",  # a run with a hole is no verdict, and its exit status says so too
    "unasserted": "skipped",
}


def render_junit(report: Report) -> str:
    """The document, with an XML declaration."""
    root = Element("testsuites")
    for clause in report.clauses:
        root.append(_suite(report, clause))
    if report.problems:
        root.append(_suite_of_the_run(report))
    for number, suite in enumerate(root):
        suite.set("id", str(number))
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(report: Report, clause: ClauseResult) -> Element:
    cases = list(_cases(clause))
    suite = _new_suite(report, f"{report.site}.{clause.group}", clause.id, cases)
    properties = SubElement(suite, "properties")
    for name, value in _properties(report, clause):
        SubElement(properties, "property", name=name, value=_text(value))
    suite.extend(cases)
    SubElement(suite, "system-out").text = _text("\n\n".join(_evidence(clause)))
    SubElement(suite, "system-err")
    return suite


def _suite_of_the_run(report: Report) -> Element:
    """What kept the run itself from being whole."""
    cases = [_case("run", f"problem {number}", 0.0) for number, _ in enumerate(report.problems, 1)]
    for case, problem in zip(cases, report.problems, strict=True):
        _say(case, "unknown", problem)
    suite = _new_suite(report, report.site, "run", cases)
    SubElement(suite, "properties")
    suite.extend(cases)
    SubElement(suite, "system-out")
    SubElement(suite, "system-err")
    return suite


def _new_suite(report: Report, package: str, name: str, cases: list[Element]) -> Element:
    started = report.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")  # Ant's schema takes no time zone
    counted = {f"{tag}s" if tag != "skipped" else tag: _count(cases, tag) for tag in ("failure", "error", "skipped")}
    seconds = sum(float(case.attrib["time"]) for case in cases)
    return Element(
        "testsuite",
        {
            "package": package,
            "name": name,
            "timestamp": started,
            "hostname": report.hypervisor,
            "tests": str(len(cases)),
            **{kind: str(count) for kind, count in counted.items()},
            "time": f"{seconds:.3f}",
        },
    )


def _count(cases: list[Element], tag: str) -> int:
    return sum(case.find(tag) is not None for case in cases)


def _properties(report: Report, clause: ClauseResult) -> Iterator[tuple[str, str]]:
    yield from (("site", report.site), ("clause", clause.id), ("group", clause.group), ("title", clause.title))
    yield from (("promise", clause.promise), ("source", clause.source), ("severity", clause.severity))
    yield from (("verdict", clause.verdict), ("message", clause.message))
    for waiver in report.waivers:
        if waiver.clause == clause.id:
            yield from (("waiver.reason", waiver.reason), ("waiver.owner", waiver.owner))
            yield from (("waiver.until", waiver.until.isoformat()), ("waiver.declared", waiver.declared))


def _cases(clause: ClauseResult) -> Iterator[Element]:
    """A case for each check, and one for the clause where its verdict is none of theirs."""
    for check in clause.checks:
        case = _case(clause.id, check.name, check.seconds)
        _say(case, *_judged(clause, check))
        yield case
    if not any(check.verdict == clause.verdict for check in clause.checks) and clause.verdict not in ("pass", "waived"):
        case = _case(clause.id, "the clause itself", 0.0)
        _say(case, clause.verdict, clause.message)
        yield case


def _judged(clause: ClauseResult, check: Check) -> tuple[Verdict, str]:
    if clause.verdict == "waived" and check.verdict != "pass":
        return "waived", f"{clause.message}. {check.message}"
    return check.verdict, check.message


def _case(classname: str, name: str, seconds: float) -> Element:
    return Element("testcase", {"classname": classname, "name": _text(name), "time": f"{seconds:.3f}"})


def _say(case: Element, verdict: Verdict, message: str) -> None:
    if verdict not in TAGS:
        return
    said = SubElement(case, TAGS[verdict], message=_text(message))
    if said.tag != "skipped":  # Ant's gives it neither type nor text
        said.set("type", verdict)
        said.text = _text(message)


def _evidence(clause: ClauseResult) -> Iterator[str]:
    for check in clause.checks:
        yield "\n".join((f"{check.name}: {check.verdict}", *map(_fact, check.evidence)))


def _fact(fact: Fact) -> str:
    at = datetime.fromtimestamp(fact.at, UTC).strftime("%H:%M:%SZ")
    return f"  {at} {fact.source}: {fact.asked}\n    -> {fact.answered}"


def _text(value: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)
