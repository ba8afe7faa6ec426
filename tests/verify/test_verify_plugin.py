"""Small folders of specs, run as verify runs its own: what pytest says becomes the right verdict and exit status."""

from __future__ import annotations

import io
import itertools
import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.contract import Contract, Service, Waiver
from harness.report.model import Report
from harness.verify import VerifyOptions
from harness.verify.run import run_verify, take_report
from tests import sites

HEAD = """\
import pytest
from harness.errors import Refused, Unreachable
from harness.verify.expect import Pending

def away(kind=Unreachable):
    return kind(tried="log in", on="metrics-vm01", happened="no route", do="Start it")
"""
CLAUSES = """\
groups: {network: Network, recovery: Recovery}
clauses:
  - {id: network.dns, group: network, title: Names, promise: P, evidence: [net], source: VS, severity: major}
  - {id: network.address, group: network, title: Addresses, promise: P, evidence: [net], source: VS, severity: major}
  - {id: recovery.protected, group: recovery, title: Kept, promise: P, evidence: [api], source: VS, severity: minor}
"""
PROFILES = """\
profiles:
  names: {title: Names alone, clauses: [network.dns]}
  rebuilding: {title: While the core router is away, authority: bootstrap, without: [network]}
"""
TODAY = date.today()
CONTRACT = sites.contract(sites.guest(), sites.guest("logs-vm01", 1))

NUMBERS = itertools.count()

Run = Callable[..., "Ended"]


class Ended:
    """A finished run: its status, what it printed, and its report where one was made."""

    def __init__(self, report: Report | None, out: str, err: str) -> None:
        self.report, self.out, self.err = report, out, err
        self.status = 2 if report is None else report.exit_status

    def verdicts(self) -> dict[str, str]:
        assert self.report is not None, self.err
        return {clause.id: clause.verdict for clause in self.report.clauses}

    def selections(self) -> str:
        assert self.report is not None, self.err
        return self.report.selection

    def messages(self, clause: str) -> list[str]:
        assert self.report is not None, self.err
        return [check.message for one in self.report.clauses if one.id == clause for check in one.checks]


def clauses_of(text: str) -> str:
    """Those that the specs name; all of them where none is named."""
    head, *entries = CLAUSES.splitlines(keepends=True)
    first, *each = entries
    named = [entry for entry in each if (entry.partition("id: ")[2].partition(",")[0]) in text]
    return "".join([head, first, *(named or each)])


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    folder = tmp_path / "specs"
    folder.mkdir()

    def start(text: str, *arguments: str, contract: Contract = CONTRACT, every: bool = False, **options: Any) -> Ended:
        # pytest keeps imported specs by name for the life of the process, and these runs share one.
        (folder / f"test_small_{next(NUMBERS)}.py").write_text(HEAD + textwrap.dedent(text))
        (folder / "clauses.yml").write_text(CLAUSES + PROFILES if every else clauses_of(text))
        out = io.StringIO()
        options = {"inventory": tmp_path, "specs": folder, **options}
        asked = VerifyOptions(pytest_args=("-p", "no:randomly", *arguments), **options)
        report = take_report(asked, contract=contract, console=Console(file=out, width=200))
        return Ended(report, out.getvalue(), capfd.readouterr().err)

    return start


PASSES = """
@pytest.mark.clause("network.dns")
def test_resolves(): pass
"""


def test_a_kept_promise_passes(run: Run) -> None:
    ended = run(PASSES)
    assert (ended.status, ended.verdicts()) == (0, {"network.dns": "pass"})
    assert "lab: Every asserted promise holds or is waived." in ended.out


def test_a_clause_without_a_spec_is_red(run: Run) -> None:
    ended = run(PASSES, every=True)
    assert ended.status == 1
    assert ended.verdicts() == {
        "network.dns": "pass",
        "network.address": "unasserted",
        "recovery.protected": "unasserted",
    }
    assert "Not yet shown\n  network.address, recovery.protected" in ended.out


@pytest.mark.parametrize(
    ("body", "verdict", "status", "words"),
    [
        ("assert False, 'expected a, seen b'", "fail", 1, "expected a, seen b"),
        ("pytest.fail('not so')", "fail", 1, "not so"),
        ("raise away()", "unknown", 2, "Could not log in on metrics-vm01: no route. Start it."),
        ("raise away(Refused)", "unknown", 2, "Could not log in on metrics-vm01"),
        ("{}['key']", "unknown", 2, "The spec itself broke in call: KeyError: 'key'"),
        ("pytest.skip('no time')", "unknown", 2, "Skipped, so nothing was looked at"),
        ("pytest.xfail('some day')", "unknown", 2, "some day"),
        ("raise Pending('no machine chosen')", "pending", 2, "no machine chosen"),
        ("pass", "pass", 0, ""),
    ],
)
def test_wrong_and_could_not_look_stay_apart(run: Run, body: str, verdict: str, status: int, words: str) -> None:
    ended = run(f'@pytest.mark.clause("network.dns")\ndef test_it(): {body}')
    assert (ended.verdicts()["network.dns"], ended.status) == (verdict, status)
    assert words in ended.messages("network.dns")[0]


def test_a_fixture_that_cannot_look_makes_its_checks_unknown(run: Run) -> None:
    ended = run("""
        @pytest.fixture
        def inside(): raise away()
        @pytest.mark.clause("network.dns")
        def test_it(inside): pass
    """)
    assert (ended.verdicts()["network.dns"], ended.status) == ("unknown", 2)


def test_a_fixture_that_finds_the_thing_missing_breaks_the_promise(run: Run) -> None:
    ended = run("""
        @pytest.fixture
        def vm(expect, guest): raise expect.broken("VM 130", "no such VM", guest.name, at=guest, do="./invoke plan")
        @pytest.mark.clause("network.dns")
        def test_it(vm): pass
    """)
    assert (ended.verdicts()["network.dns"], ended.status) == ("fail", 1)
    assert "Next: ./invoke plan --site lab" in ended.messages("network.dns")[0]


def test_a_fixture_that_crashes_is_no_broken_promise(run: Run) -> None:
    ended = run("""
        @pytest.fixture
        def host(): assert 1 == 2
        @pytest.mark.clause("network.dns")
        def test_it(host): pass
    """)
    assert (ended.verdicts()["network.dns"], ended.status) == ("unknown", 2)


def test_what_goes_wrong_afterwards_is_no_pass(run: Run) -> None:
    ended = run("""
        @pytest.fixture
        def host():
            yield
            raise RuntimeError("left behind")
        @pytest.mark.clause("network.dns")
        def test_it(host): pass
    """)
    assert (ended.verdicts()["network.dns"], ended.status) == ("unknown", 2)
    assert "left behind" in ended.messages("network.dns")[0]


def test_one_guest_that_is_gone_makes_only_its_own_checks_unknown(run: Run) -> None:
    ended = run("""
        @pytest.mark.clause("network.dns")
        def test_it(guest):
            if guest.name == "metrics-vm01": raise away()
    """)
    assert ended.report is not None
    checks = ended.report.clauses[0].checks
    assert {check.guest: check.verdict for check in checks} == {"metrics-vm01": "unknown", "logs-vm01": "pass"}
    assert ended.status == 2


def test_unknown_wins_over_broken_and_both_are_told(run: Run) -> None:
    ended = run("""
        @pytest.mark.clause("network.dns")
        def test_wrong(): assert False, "PTR is wrong"
        @pytest.mark.clause("network.address")
        def test_gone(): raise away()
    """)
    assert ended.status == 2
    assert "Broken promises\n  network.dns\n    PTR is wrong" in ended.out
    assert "Could not look\n  network.address\n    Could not log in" in ended.out


def test_a_spec_without_a_clause_is_an_error_at_collection(run: Run) -> None:
    ended = run("def test_lonely(): pass")
    assert ended.report is None
    assert re.search(r"test_small_\d+\.py:7 \(test_lonely\) names no clause", ended.err)


def test_a_spec_with_an_unknown_clause_is_an_error_at_collection(run: Run) -> None:
    ended = run('@pytest.mark.clause("network.dsn")\ndef test_it(): pass')
    assert ended.report is None
    assert "names 'network.dsn', which is not in" in ended.err
    assert "(near: network.dns" in ended.err


def test_a_spec_that_cannot_be_loaded_is_no_pass(run: Run) -> None:
    ended = run(f"{PASSES}\nimport no_such_module")
    assert ended.status == 2
    assert "ModuleNotFoundError" in ended.out


def test_no_spec_at_all_is_an_error(run: Run) -> None:
    ended = run("")
    assert ended.status == 2
    assert "Nothing was checked" in ended.out


def test_a_guest_spec_on_a_site_without_guests_proves_nothing(run: Run) -> None:
    ended = run('@pytest.mark.clause("network.dns")\ndef test_it(guest): pass', contract=sites.contract())
    assert (ended.verdicts()["network.dns"], ended.status) == ("unknown", 2)


def test_a_run_cut_short_is_no_verdict(run: Run) -> None:
    ended = run(
        """
        @pytest.mark.clause("network.dns")
        def test_wrong(): assert False, "wrong"
        @pytest.mark.clause("network.address")
        def test_right(): pass
        """,
        "-x",
    )
    assert ended.status == 2
    assert "The run ended early: 1 of 2 checks did not run." in ended.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clauses": ("network.dsn",)}, "no clause in"),
        ({"clauses": ("dns",)}, "Did you mean network.dns"),
        ({"guest": "metric-vm01"}, "it declares no guest 'metric-vm01'. Did you mean metrics-vm01"),
    ],
)
def test_a_wrong_request_is_refused_with_the_near_names(run: Run, options: dict[str, Any], words: str) -> None:
    ended = run(PASSES, **options)
    assert ended.report is None
    assert words in ended.err


def test_a_clause_can_be_asked_for_alone(run: Run) -> None:
    ended = run(
        f'{PASSES}\n@pytest.mark.clause("recovery.protected")\ndef test_off(): assert False', clauses=("network",)
    )
    assert ended.verdicts() == {"network.dns": "pass"}
    assert ended.status == 0


TWO = """
@pytest.mark.clause("network.dns")
def test_resolves(): pass
@pytest.mark.clause("recovery.protected")
def test_off(): assert False
"""


@pytest.mark.parametrize(
    ("options", "verdicts"),
    [
        ({"profile": "names"}, {"network.dns": "pass"}),
        ({"profile": "rebuilding"}, {"recovery.protected": "fail"}),
        ({"profile": "rebuilding", "clauses": ("recovery",)}, {"recovery.protected": "fail"}),
        ({"contract": replace(CONTRACT, authority="bootstrap")}, {"recovery.protected": "fail"}),
        (
            {"contract": replace(CONTRACT, authority="bootstrap"), "profile": "management"},
            {"network.dns": "pass", "network.address": "unasserted", "recovery.protected": "fail"},
        ),
    ],
)
def test_a_profile_is_a_view_that_says_nothing_of_the_rest(
    run: Run, options: dict[str, Any], verdicts: dict[str, str]
) -> None:
    assert run(TWO, every=True, **options).verdicts() == verdicts


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "tenants"}, "has no such profile. Name one of: management, names, rebuilding"),
        ({"profile": "names", "clauses": ("recovery",)}, "the profile names leaves it out"),
    ],
)
def test_a_wrong_profile_is_refused(run: Run, options: dict[str, Any], words: str) -> None:
    ended = run(TWO, every=True, **options)
    assert ended.report is None
    assert words in ended.err


def test_pytests_marks_choose_by_severity_and_evidence(run: Run) -> None:
    assert run(TWO, "-m", "major").verdicts() == {"network.dns": "pass"}
    assert run(TWO, "-m", "not net").verdicts() == {"recovery.protected": "fail"}


def test_a_spec_about_services_runs_for_each_and_is_silent_where_none_is_declared(run: Run) -> None:
    specs = """
        @pytest.mark.clause("network.dns")
        def test_every(guest, service): pass
        @pytest.mark.clause("network.dns")
        def test_with_health(guest, reporting): pass
        @pytest.mark.clause("network.dns")
        def test_guest(guest): pass
    """
    ends = Service("b.service", (80,), "http://metrics-vm01/health")
    first, second = CONTRACT.guests
    served = replace(CONTRACT, guests=(replace(first, services=(Service("a.service", (), None), ends)), second))
    assert names(run(specs, contract=served)) == [
        "test_every[metrics-vm01-a.service]",
        "test_every[metrics-vm01-b.service]",
        "test_with_health[metrics-vm01-b.service]",
        "test_guest[metrics-vm01]",
        "test_guest[logs-vm01]",
    ]


def names(ended: Ended) -> list[str]:
    assert ended.report is not None, ended.err
    return [check.name for clause in ended.report.clauses for check in clause.checks]


def test_only_unasserted_clauses_asked_for_is_no_pass(run: Run) -> None:
    assert run(PASSES, clauses=("recovery.protected",), every=True).status == 2


def test_a_guest_can_be_asked_for_alone(run: Run) -> None:
    ended = run(
        """
        @pytest.mark.clause("network.dns")
        def test_it(guest): pass
        @pytest.mark.clause("recovery.protected")
        def test_site(): assert False
        """,
        guest="logs-vm01",
    )
    assert ended.report is not None
    assert [check.guest for clause in ended.report.clauses for check in clause.checks] == ["logs-vm01"]
    assert "recovery.protected" not in ended.verdicts()  # it has a spec, which is about no guest: not selected


def test_pytests_own_selection_passes_through(run: Run) -> None:
    ended = run(f'{PASSES}\n@pytest.mark.clause("recovery.protected")\ndef test_off(): assert False', "-k", "resolves")
    assert ended.verdicts() == {"network.dns": "pass"}


def waive(clause: str, until: date) -> Contract:
    return replace(CONTRACT, waivers=(Waiver(clause, "a bench without DNS", "ops", until, sites.HERE),))


def test_a_waived_clause_still_runs_and_does_not_count(run: Run) -> None:
    ended = run('@pytest.mark.clause("network.dns")\ndef test_it(): assert False', contract=waive("network.dns", TODAY))
    assert (ended.verdicts()["network.dns"], ended.status) == ("waived", 0)
    assert len(ended.messages("network.dns")) == 1
    assert "network.dns: a bench without DNS" in ended.out


def test_an_ended_waiver_breaks_the_promise(run: Run) -> None:
    wrong = '@pytest.mark.clause("network.dns")\ndef test_it(): assert False'
    ended = run(wrong, contract=waive("network.dns", TODAY - timedelta(days=1)))
    assert (ended.verdicts()["network.dns"], ended.status) == ("fail", 1)
    assert "The waiver ended on" in ended.out


def test_a_superfluous_waiver_is_red_in_a_whole_run_alone(run: Run) -> None:
    both = """
        @pytest.mark.clause("network.dns")
        def test_one(): pass
        @pytest.mark.clause("network.dns")
        def test_two(guest): pass
    """
    ended = run(both, contract=waive("network.dns", TODAY))
    assert (ended.verdicts()["network.dns"], ended.status) == ("fail", 1)
    assert "The waiver is no longer needed" in ended.out


def test_a_selection_says_nothing_against_a_waiver(run: Run) -> None:
    specs = '@pytest.mark.clause("network.dns")\ndef test_it(guest): pass'
    ended = run(specs, contract=waive("network.dns", TODAY), guest="logs-vm01")
    assert ended.verdicts() == {"network.dns": "waived"}


def test_a_waiver_of_nothing_is_refused(run: Run) -> None:
    ended = run(PASSES, contract=waive("network.dsn", TODAY))
    assert ended.report is None
    assert "waives 'network.dsn'" in ended.err


def test_json_and_junit_carry_clause_and_evidence(run: Run, tmp_path: Path) -> None:
    files = {"json": tmp_path / "r.json", "junit": tmp_path / "r.xml", "html": tmp_path / "deep" / "r.html"}
    run(
        """
        @pytest.mark.clause("network.dns")
        def test_seen(site):
            site.looks.take("k", lambda evidence: evidence.record("net", "A x", "198.18.99.30"))
        @pytest.mark.clause("network.dns")
        def test_gone(): raise away()
        """,
        **files,
    )
    clause = json.loads(files["json"].read_text())["clauses"][0]
    fact = clause["checks"][0]["evidence"][0]
    assert (fact["source"], fact["asked"], fact["answered"]) == ("net", "A x", "198.18.99.30")
    cases = {case.get("name"): case for case in ElementTree.parse(files["junit"]).iter("testcase")}  # noqa: S314 - ours
    suite = next(one for one in ElementTree.parse(files["junit"]).getroot() if one.get("name") == "network.dns")  # noqa: S314 - ours
    assert ("severity", "major") in [(one.get("name"), one.get("value")) for one in suite.iter("property")]
    assert "net: A x\n    -> 198.18.99.30" in (suite.findtext("system-out") or "")
    assert [child.tag for child in cases["test_gone"] if child.tag in ("error", "failure")] == ["error"]
    assert files["html"].read_text().startswith("<!doctype html>")


def test_pytests_own_junit_carries_clause_and_evidence(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "own.xml"
    run(
        """
        @pytest.mark.clause("network.dns")
        def test_seen(site):
            site.looks.take("k", lambda evidence: evidence.record("net", "A x", "198.18.99.30"))
        """,
        f"--junitxml={file}",
    )
    properties = [(one.get("name"), one.get("value")) for one in ElementTree.parse(file).iter("property")]  # noqa: S314
    assert properties == [("clause", "network.dns"), ("evidence", "net: A x -> 198.18.99.30")]


def test_a_run_says_what_it_was_limited_to(run: Run) -> None:
    assert run(PASSES).selections() == ""
    limited = run(PASSES, "-k", "resolves", clauses=("network",), guest="logs-vm01")
    assert limited.selections() == "--clause network --guest logs-vm01 -k resolves"


def test_json_can_go_to_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clauses.yml").write_text(clauses_of(PASSES))
    (tmp_path / "test_to_standard_output.py").write_text(HEAD + PASSES)
    status = run_verify(VerifyOptions(specs=tmp_path, inventory=tmp_path, json=Path("-")), contract=CONTRACT)
    out, err = capfd.readouterr()
    assert (status, json.loads(out)["verdict"]) == (0, "pass")
    assert "Every asserted promise holds" in err
