"""The summary on a terminal: each sentence once, with what to do next."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from harness.printing import Lines
from harness.report.model import Report
from harness.report.terminal import print_report
from tests.report.values import check, clause, report


def printed(shown: Report | None = None) -> str:
    out = io.StringIO()
    print_report(shown or report(), Lines(out))
    return out.getvalue()


def coloured() -> str:
    out = io.StringIO()
    print_report(report(), Console(file=out, soft_wrap=True, force_terminal=True, color_system="standard"))
    return out.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    text = printed()
    assert "\x1b" not in text
    assert re.search(r"^  network\.dns +broken +1/2  major     Title of network\.dns$", text, re.M)


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[3" in coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in coloured()


def test_a_terminal_says_the_same_in_colours() -> None:
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured()) == printed()


def test_a_guest_that_is_gone_is_told_once_for_all_its_clauses() -> None:
    text = printed()
    assert text.count("Could not log in") == 1
    assert "  network.address, identity.mac-seen\n    Could not log in" in text


def test_what_is_waived_is_not_told_as_broken() -> None:
    text = printed()
    assert "too small" not in text
    assert "Waived\n  hardware.memory: a lab (until 2026-12-01, ops)" in text


def test_an_ended_waiver_is_told_beside_what_its_checks_say() -> None:
    ended = clause("network.dns", "fail", check("fail", message="PTR wrong"), message="The waiver ended. PTR wrong")
    assert "    PTR wrong\n    The waiver ended. PTR wrong" in printed(report("fail", clauses=(ended,)))


def test_it_ends_with_counts_cost_and_verdict() -> None:
    *_, counts, verdict = printed().strip().splitlines()
    assert counts == (
        "1 holds, 1 broken, 2 could not look, 1 waived, 1 pending, 1 not yet shown "
        "(4.2 s, 31 API calls, 12 SSH round trips)"
    )
    assert verdict.startswith("lab: Something could not be looked at")


def test_each_chain_is_one_line_and_ends_at_its_first_bad_link() -> None:
    assert (
        "Identity chains\n"
        "  metrics-vm01  02:de:99:01:01:01 = net0 = reservation 198.18.99.30\n"
        "  logs-vm01     02:de:99:01:02:01 = net0 | reservation: expected <198.18.99.31>, seen none\n"
    ) in printed()
