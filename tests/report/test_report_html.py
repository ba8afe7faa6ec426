"""The HTML of a run: whole in one file, nothing fetched, everything escaped, the verdict first."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from harness.evidence import Fact
from harness.report.background import Background
from harness.report.builds import Build
from harness.report.compare import compare
from harness.report.html import render_html
from harness.report.model import Verdict
from harness.report.reading import Run
from tests.report.values import STARTED, check, clause, report

VOID = {"meta", "br", "hr", "img", "input", "link"}
DAY = timedelta(days=1)
FETCHING = ("src", "href", "srcset", "data", "action", "poster", "background")


class Reader(HTMLParser):
    """Collects elements and text, and notices what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


def words(text: str) -> str:
    """What a reader reads, in one line."""
    return " ".join(" ".join(Reader(text).words).split())


@pytest.fixture(scope="module")
def text() -> str:
    return render_html(report(problems=("The run ended early.",)))


def test_every_element_is_closed(text: str) -> None:
    assert Reader(text).open == []


def test_every_link_leads_somewhere_and_no_place_is_named_twice(text: str) -> None:
    page = Reader(text)
    assert len(page.ids) == len(set(page.ids))
    targets = {(attrs["href"] or "")[1:] for tag, attrs in page.elements if tag == "a" and "href" in attrs}
    assert targets <= set(page.ids)


def test_nothing_is_fetched_and_nothing_runs(text: str) -> None:
    page = Reader(text)
    assert [tag for tag, _ in page.elements if tag in ("script", "link", "img", "iframe", "object", "base")] == []
    links = [(tag, name, attrs[name]) for tag, attrs in page.elements for name in attrs if name in FETCHING]
    assert links
    assert [link for link in links if link[:2] != ("a", "href") or not str(link[2]).startswith("#")] == []
    assert [name for _, attrs in page.elements for name in attrs if name.startswith("on")] == []
    styles = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert styles
    assert not any(re.search(r"url\(|@import|https?:", style) for style in styles)


def test_the_verdict_is_the_first_thing_said(text: str) -> None:
    head = words(text).partition("What is wrong")[0]
    assert "1 promise is broken, 2 could not be looked at" in head
    assert "so there is no verdict on the whole" in head
    assert "The run ended early." in head


def test_a_selection_is_said_beside_the_verdict() -> None:
    assert "Only a part of the contract was asked for: --clause network" in words(
        render_html(replace(report(), selection="--clause network"))
    )


def test_what_is_wrong_is_taken_apart(text: str) -> None:
    sentences = [
        f"protection of {name}: expected yes, seen no. Declared at i/{name}.yml:3. Next: ./invoke plan" for name in "ab"
    ]
    kept = clause(
        "recovery.protected", "fail", *(check("fail", message=one) for one in sentences), message=sentences[0]
    )
    said = words(render_html(report("fail", clauses=(kept,))))
    assert "protection of a and also protection of b expected yes seen no declared i/a.yml:3 and 1 more places" in said
    assert said.count("./invoke plan") == 1 + 1 + 2, "once as the next step; in the clause, and at both checks"


def test_a_guest_that_is_gone_is_told_once_for_all_its_clauses(text: str) -> None:
    said = words(text).partition("The contract")[0]
    assert said.count("Could not log in") == 1
    assert "Title of network.address Title of identity.mac-seen" in said


def test_every_clause_of_a_listed_group_stands_with_its_evidence(text: str) -> None:
    said = words(text)
    assert all(f"Title of {one}" in said for one in ("network.bridge", "network.dns", "network.address"))
    assert "PTR 198.18.99.30 at 198.18.99.1" in said


def test_what_was_answered_is_text_and_no_markup(text: str) -> None:
    assert "wrong.lab.deevnet.net &lt;b&gt;" in text
    assert "PTR &lt;wrong&gt;" in text


def test_json_that_was_answered_can_be_read() -> None:
    fact = Fact("api", "GET /version", '{"release":"8.4","repoid":"x"}', 0.0)
    shown = render_html(
        report("pass", clauses=(clause("network.dns", "pass", replace(check("pass"), evidence=(fact,))),))
    )
    assert "{\n &#34;release&#34;: &#34;8.4&#34;," in shown


def test_the_checks_of_a_spec_stand_together_and_what_is_wrong_first() -> None:
    seen: dict[str, Verdict] = {"a": "pass", "b": "fail", "c": "pass"}
    checks = [check(verdict, f"test_sees_its_mac[{name}]", f"not so on {name}", name) for name, verdict in seen.items()]
    said = words(render_html(report("fail", clauses=(clause("network.dns", "fail", *checks),))))
    assert "Sees its MAC 2 of 3 broken b broken not so on b" in said
    assert "2 that hold a holds" in said


def test_a_command_in_a_sentence_looks_like_one() -> None:
    odd = check("fail", message="x: expected 1, seen 2. Declared at a:1. Next: Look with `a <b>` there")
    assert "Look with <code>a &lt;b&gt;</code> there" in render_html(
        report("fail", clauses=(clause("a.b", "fail", odd),))
    )


def test_broken_clauses_are_open_and_kept_ones_closed(text: str) -> None:
    opened = re.findall(r'<details class="clause [^>]*id="([\w.-]+)" open>', text)
    assert opened == ["network.dns", "network.address", "identity.mac-seen"]


def test_waivers_say_what_is_left_of_them(text: str) -> None:
    assert "hardware.memory a lab inventory/lab/mgmt.yml:9 ops 2026-12-01 10 days left" in words(text)


def test_drills_say_how_long_ago_they_were_good(text: str) -> None:
    assert "reboot good what was seen up 12 days ago 48.2 s holds" in words(text)
    assert "restore never run here never - not yet shown" in words(text)


def test_each_vm_stands_there_with_the_link_it_breaks_at(text: str) -> None:
    said = words(text)
    assert "metrics-vm01 VM 130, observability, 198.18.99.30 , running" in said
    assert "02:de:99:01:01:01 net0 reservation 198.18.99.30" in said
    assert "reservation: expected <198.18.99.31>, seen none" in said


def test_the_network_is_drawn_for_a_wide_page_and_for_a_phone(text: str) -> None:
    drawings = [
        attrs for tag, attrs in Reader(text).elements if tag == "svg" and "drawing" in (attrs.get("class") or "")
    ]
    assert [attrs["class"] for attrs in drawings] == ["drawing wide", "drawing narrow"]
    assert "Not declared, and there: crypto (VM 666)" in words(text)


def test_what_changed_since_the_last_green_run_is_told() -> None:
    green = replace(report("pass", clauses=(clause("network.dns", "pass", check("pass")),)), started_at=STARTED - DAY)
    said = words(render_html(report(), Background(since=compare(green, report()))))
    assert "Since the last green run, 1 day ago" in said
    assert "Title of network.dns holds → broken" in said
    same = words(render_html(green, Background(since=compare(green, green))))
    assert "Nothing since the last green run" in same
    assert "No green run of this site is on record" in words(render_html(report()))


def test_how_long_each_vm_took_is_drawn() -> None:
    build = Build("metrics-vm01", "created", "linked", STARTED - DAY, {"clone": 2.0, "reach": 4.5})
    text = render_html(report(), Background(builds=(build,)))
    assert 'aria-label="clone 2.0 s, reach 4.5 s"' in text
    assert "the latest 1 day ago" in words(text)


def test_earlier_runs_are_told_without_colours_too() -> None:
    runs = tuple(Run(1, "lab", verdict, {}, STARTED, 3.0) for verdict in ("pass", "fail"))
    assert "oldest first: pass, fail, and this one unknown" in render_html(report(), Background(earlier=runs))


def test_what_could_not_be_read_beside_the_run_is_told() -> None:
    assert "builds.json is no JSON" in words(render_html(report(), Background(notes=("builds.json is no JSON",))))


def test_a_run_without_anything_to_show_renders_too() -> None:
    empty = report("pass", clauses=(clause("network.dns", "pass"),))
    bare = replace(empty, network=None, guests=(), chains=(), drills=(), waivers=())
    assert "Every asserted promise holds or is waived." in render_html(bare)
