"""Small folders of specs, run as verify runs its own: what pytest says becomes the right verdict and exit status."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.contract import Contract, Waiver
from harness.verify import VerifyOptions
from harness.verify.run import run_verify
from tests import sites
from tests.verify.small_specs import CONTRACT, HEAD, PASSES, Run, clauses_of

TODAY = date.today()


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


def test_on_a_terminal_the_line_moves_and_is_gone_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "clauses.yml").write_text(clauses_of(PASSES))
    (tmp_path / "test_on_a_terminal.py").write_text(HEAD + PASSES)
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, color_system=None, width=120, height=40)
    assert run_verify(VerifyOptions(specs=tmp_path, inventory=tmp_path), contract=CONTRACT, out=terminal) == 0
    text = shown.getvalue()
    assert "1/1" in text
    assert "test_resolves" in text
    assert text.rindex("\x1b[2K") < text.index("lab: Every asserted promise holds")
    assert "1 checks" not in text
