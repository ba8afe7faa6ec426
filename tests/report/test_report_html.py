"""The HTML of a run: whole in one file, nothing fetched, everything escaped, the verdict first."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from harness.report.html import render_html
from tests.report.values import clause, report

VOID = {"meta", "br", "hr", "img", "input", "link"}
FETCHING = ("src", "href", "srcset", "data", "action", "poster", "background")


class Reader(HTMLParser):
    """Collects elements and text, and notices what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def text() -> str:
    return render_html(report(problems=("The run ended early.",)))


def test_every_element_is_closed(text: str) -> None:
    assert Reader(text).open == []


def test_nothing_is_fetched_and_nothing_runs(text: str) -> None:
    page = Reader(text)
    assert [tag for tag, _ in page.elements if tag in ("script", "link", "img", "iframe", "object", "base")] == []
    assert [
        (tag, name) for tag, attrs in page.elements for name in attrs if name in FETCHING or name.startswith("on")
    ] == []
    styles = re.findall(r"<style>(.*?)</style>", text, re.S)
    assert styles
    assert not any(re.search(r"url\(|@import|https?:", style) for style in styles)


def test_the_verdict_is_the_first_thing_said(text: str) -> None:
    head = " ".join(Reader(text).words).split("Network")[0]
    assert "Something could not be looked at" in head
    assert "The run ended early." in head


def test_every_clause_of_a_listed_group_stands_with_its_evidence(text: str) -> None:
    said = " ".join(Reader(text).words)
    assert all(f"Title of {one}" in said for one in ("network.bridge", "network.dns", "network.address"))
    assert "PTR 198.18.99.30 at 198.18.99.1" in said


def test_what_was_answered_is_text_and_no_markup(text: str) -> None:
    assert "wrong.lab.deevnet.net &lt;b&gt;" in text
    assert "PTR &lt;wrong&gt;" in text


def test_checks_are_said_in_words_with_their_guest(text: str) -> None:
    assert '<span>It <code class="id">metrics-vm01</code></span>' in text


def test_broken_clauses_are_open_and_kept_ones_closed(text: str) -> None:
    opened = re.findall(r"<details open>\s*<summary>\s*<span><b>Title of ([\w.-]+)", text)
    assert opened == ["network.dns", "network.address", "identity.mac-seen"]


def test_waivers_guests_and_unasserted_clauses_are_listed(text: str) -> None:
    said = " ".join(" ".join(Reader(text).words).split())
    assert "hardware.memory a lab ops 2026-12-01 inventory/lab/mgmt.yml:9" in said
    assert "metrics-vm01 130 observability 02:de:99:01:01:01 198.18.99.30" in said
    assert "Not yet shown No spec proves these promises yet" in said


def test_light_dark_phone_and_paper_are_provided_for(text: str) -> None:
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert "@media print" in text


def test_a_run_without_anything_to_show_renders_too() -> None:
    empty = report("pass", clauses=(clause("network.dns", "pass"),))
    assert "Every asserted promise holds or is waived." in render_html(empty)


def test_each_chain_stands_there_with_the_link_it_breaks_at(text: str) -> None:
    said = " ".join(" ".join(Reader(text).words).split())
    assert "02:de:99:01:01:01 = net0 = reservation 198.18.99.30" in said
    assert "reservation: expected <198.18.99.31>, seen none" in said
