"""The report in a headless Chromium, from the disk: silent, readable in every light, for every hand, at every width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.report.background import Background
from harness.report.builds import Build
from harness.report.compare import compare
from harness.report.html import render_html
from harness.report.model import Report
from harness.report.reading import Run
from tests.report.browser import Page, chromium
from tests.report.values import GUESTS, STARTED, check, clause, report

PHONE, DESKTOP = (390, 844), (1280, 900)
CONTRAST = Path(__file__).with_name("contrast.js").read_text()
# What a reader can do something with; drawings and the strip lead where the lists lead, for the mouse alone.
CONTROLS = "document.querySelectorAll('a[href]:not([tabindex]), summary, input:checked')"
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser") / "profile"
    folder.mkdir()
    with chromium(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it."""
    green = replace(report("pass", clauses=(clause("network.dns", "pass", check("pass")),)), started_at=STARTED)
    shown = replace(report(problems=("The run ended early.",)), started_at=STARTED + timedelta(hours=3))
    background = Background(
        earlier=tuple(Run(1, "lab", "pass", {}, STARTED, 3.0 + number) for number in range(5)),
        since=compare(green, shown),
        builds=tuple(Build(guest.name, "created", "linked", STARTED, {"clone": 2.0, "reach": 4.5}) for guest in GUESTS),
        notes=("One earlier run could not be read.",),
    )
    return written(tmp_path_factory.mktemp("report") / "report.html", shown, background)


def written(target: Path, shown: Report, background: Background = Background()) -> Path:  # noqa: B008 - a frozen value
    target.write_text(render_html(shown, background))
    return target


def opened(page: Page, file: Path, size: tuple[int, int] = DESKTOP, medium: str = "", **features: str) -> Page:
    page.media(medium, **features)
    page.size(*size, mobile=size == PHONE)
    page.open(file)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_asks_for_nothing_and_says_nothing(page: Page, file: Path, size: tuple[int, int], scheme: str) -> None:
    opened(page, file, size, prefers_color_scheme=scheme)
    page.ask(FRAMES)
    asked = [event["params"]["request"]["url"] for event in page.events("Network.requestWillBeSent")]
    assert asked == [page.url], "the file itself, and nothing else"
    assert page.events("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") == []


@pytest.mark.parametrize("width", [320, 390, 700, 720, 1280])
def test_nothing_is_wider_than_the_page(page: Page, file: Path, width: int) -> None:
    opened(page, file, (width, 800))
    page.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.ask("document.documentElement.scrollWidth") == width
    shown = "[...document.querySelectorAll('main *')].filter(one => one.checkVisibility() && !one.closest('pre, svg'))"
    outside = f"{shown}.filter(one => one.getBoundingClientRect().right > innerWidth + 0.5).map(one => one.outerHTML)"
    assert page.ask(outside) == []


@pytest.mark.parametrize("look", ["light", "dark", "print"])
def test_every_text_stands_out(page: Page, file: Path, look: str) -> None:
    opened(page, file, medium="print") if look == "print" else opened(page, file, prefers_color_scheme=look)
    page.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = page.ask(CONTRAST)
    assert len(found) > 100
    assert [one for one in found if one[0] < one[1]] == []


def test_dark_is_dark(page: Page, file: Path) -> None:
    grounds = [
        opened(page, file, prefers_color_scheme=scheme).ask("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, ground[4:-1].split(","))) for ground in grounds)
    assert light > 600
    assert dark < 150


def test_every_control_is_reached_with_the_tab_key_in_its_order(page: Page, file: Path) -> None:
    opened(page, file)
    page.ask(f"window.seen = []; window.all = [...{CONTROLS}].filter(one => one.checkVisibility())")
    page.ask("document.addEventListener('focusin', event => window.seen.push(event.target))")
    count = page.ask("window.all.length")
    page.press("Tab", times=count)
    assert count > 20
    missed = "window.all.filter((one, at) => window.seen[at] !== one).map(one => one.outerHTML.slice(0, 80))"
    assert page.ask(missed) == []


def test_what_has_the_focus_is_seen(page: Page, file: Path) -> None:
    opened(page, file)
    page.press("Tab")
    first = page.ask("[document.activeElement.textContent, document.activeElement.getBoundingClientRect().left >= 0]")
    assert first == ["To the contract", True]
    page.press("Tab", times=12)
    width, style = page.ask("(s => [s.outlineWidth, s.outlineStyle])(getComputedStyle(document.activeElement))")
    assert (width, style) == ("2px", "solid")


@pytest.mark.parametrize("key", ["Enter", " "])
def test_a_clause_opens_and_closes_by_key(page: Page, file: Path, key: str) -> None:
    opened(page, file)
    page.ask("document.querySelector('.clause.is-pass > summary').focus()")
    states = []
    for _ in range(2):
        page.press(key)
        states.append(page.ask("document.querySelector('.clause.is-pass').open"))
    assert states == [True, False]


def test_the_contract_is_filtered_by_the_arrow_keys(page: Page, file: Path) -> None:
    opened(page, file)
    page.ask("document.querySelector('#show-all').focus()")
    page.press("ArrowRight", times=2)
    shown = "[...document.querySelectorAll('.clause')].filter(one => one.checkVisibility()).map(one => one.id)"
    assert page.ask("document.activeElement.id") == "show-fail"
    assert page.ask(shown) == ["network.dns"]
    page.press("ArrowLeft", times=2)
    assert len(page.ask(shown)) == len(report().clauses)


def test_headings_go_down_one_step_at_a_time(page: Page, file: Path) -> None:
    opened(page, file)
    levels = page.ask("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_fingers_and_eyes_find_enough_on_a_phone(page: Page, file: Path) -> None:
    opened(page, file, PHONE)
    low = """[...document.querySelectorAll('summary, .filter label, nav a')].filter(one => one.checkVisibility()
        && one.getBoundingClientRect().height < 24).map(one => one.textContent.trim())"""
    assert page.ask(low) == []
    small = """[...document.querySelectorAll('body *')].filter(one => one.checkVisibility()
        && [...one.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim())).filter(one => {
            const drawing = one.closest('svg');
            const scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
            return parseFloat(getComputedStyle(one).fontSize) * scale < 11.5;
        }).map(one => one.outerHTML.slice(0, 60))"""
    assert page.ask(small) == []


def test_paper_shows_what_is_wrong_and_nothing_to_press(page: Page, file: Path, tmp_path: Path) -> None:
    opened(page, file, medium="print")
    assert page.ask("[...document.querySelectorAll('nav, .filter')].some(one => one.checkVisibility())") is False
    assert page.ask("[...document.querySelectorAll('.clause.is-fail pre')].length") > 0
    page.paper(tmp_path / "report.pdf")
    printed = (tmp_path / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert 1 <= printed.count(b"/Type /Page\n") <= 8


def test_a_thousand_rows_cost_what_is_seen_of_them(page: Page, tmp_path: Path) -> None:
    """Closed rows have no boxes, and scrolling lays nothing out: so it cannot stutter, however slow the machine."""
    few, many = (cost(opened(page, large(tmp_path, rows))) for rows in (100, 1000))
    assert many["rows"] == 10 * few["rows"] == 1000
    assert many["boxes"] < 1.5 * few["boxes"]
    assert many["layouts"] <= 2


def large(folder: Path, rows: int) -> Path:
    """40 clauses, and in each of them the checks of as many VMs as it takes."""
    clauses = tuple(
        clause(
            f"network.c{number}",
            "pass",
            *(check("pass", f"test_it[vm{row}]", "", f"vm{row}") for row in range(rows // 40 or 1)),
        )
        for number in range(40)
    )
    spare = rows - sum(len(one.checks) for one in clauses)
    more = clause("network.rest", "pass", *(check("pass", f"test_it[vm{row}]", "", f"vm{row}") for row in range(spare)))
    return written(folder / f"{rows}.html", report("pass", clauses=(*clauses, more)))


def cost(page: Page) -> dict[str, Any]:
    """What is laid out, and how often the page is laid out while somebody scrolls through it."""
    page.ask(FRAMES)
    snapshot = page.call("DOMSnapshot.captureSnapshot", computedStyles=[])
    page.call("Performance.enable")
    before = layouts(page)
    height = page.ask("document.documentElement.scrollHeight")
    for top in range(0, height, 600):
        page.ask(f"scrollTo(0, {top}), {FRAMES}")
    return {
        "rows": page.ask("document.querySelectorAll('.check').length"),
        "boxes": len(snapshot["documents"][0]["layout"]["nodeIndex"]),
        "layouts": layouts(page) - before,
    }


def layouts(page: Page) -> int:
    metrics = page.call("Performance.getMetrics")["metrics"]
    return int(next(one["value"] for one in metrics if one["name"] == "LayoutCount"))
