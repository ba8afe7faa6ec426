"""The chart is a drawing that stands alone, and the log of an sshd is counted as it is written."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from benchmarks.counting import COMMAND, LOGIN, count_foreign
from benchmarks.critical_path import CriticalPath
from benchmarks.results import Cost, Results, Run
from benchmarks.showing import open_output, print_table, render_svg

SSHD = """\
own-port 198.18.99.254 41234 198.18.99.21 22
Accepted publickey for root from 198.18.99.254 port 41230 ssh2: ED25519 SHA256:YZ
Starting session: command for root from 198.18.99.254 port 41230 id 0
Starting session: command for root from 198.18.99.254 port 41230 id 1
Close session: user root from 198.18.99.254 port 41230 id 0
Accepted publickey for root from 198.18.99.254 port 41234 ssh2: ED25519 SHA256:YZ
Starting session: command for root from 198.18.99.254 port 41234 id 0
"""


def test_logins_and_commands_are_counted_without_our_own() -> None:
    told, own = {"hv01": SSHD, "core-rt01": ""}, {("hv01", 41234)}
    assert count_foreign(LOGIN, told, own) == 1
    assert count_foreign(COMMAND, told, own) == 2


def test_port_of_another_host_is_not_ours() -> None:
    assert count_foreign(LOGIN, {"hv01": SSHD}, {("core-rt01", 41234)}) == 2


def drawn(**seconds: float) -> ET.Element:
    results = Results("lab", "lan", 10)
    for name, value in seconds.items():
        results.add(name.replace("_", "-"), Run(value, 0, Cost(None, None, None, None)))
    titles = {"verify": "this harness: <verify> & more"}
    return ET.fromstring(render_svg(results, titles))  # noqa: S314 - our own text


def texts(svg: ET.Element) -> list[str]:
    return [one.text or "" for one in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_chart_shows_who_was_measured_and_nobody_else() -> None:
    said = texts(drawn(verify=2.0, ansible=50.0))
    assert "this harness: <verify> & more" in said
    assert "50.0 s (25.0 x)" in said
    assert not any("provision" in text for text in said)


def test_bars_are_as_long_as_the_times() -> None:
    bars = {
        bar.attrib["class"]: float(bar.attrib["width"])
        for bar in drawn(verify=2.0, ansible=50.0).iter("{http://www.w3.org/2000/svg}rect")
    }
    assert round(bars["other"] / bars["ours"]) == 25


def test_what_stands_alone_stands_beside_pves_own_work() -> None:
    results = Results("lab", "lan", 10)
    path = CriticalPath(clone=0.5, configure=0.0, start=1.5, boot=0.0, backup=10.0, identity=0.0)
    results.add("provision-recorded", Run(15.0, 0, Cost(None, None, None, None), path))
    svg = ET.fromstring(render_svg(results, {}))  # noqa: S314 - our own text
    assert {"PVE's own work in it", "12.0 s", "15.0 s"} <= set(texts(svg))
    assert len([*svg.iter("{http://www.w3.org/2000/svg}rect")]) == 2


def test_chart_asks_for_nothing_from_elsewhere() -> None:
    svg = drawn(verify=1.0)
    assert not [one for one in svg.iter() if {"href", "src"} & set(one.attrib)]


def test_a_log_shows_names_and_figures_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    results = Results("lab", "lan", 10)
    path = CriticalPath(clone=1.0, configure=0.0, start=0.0, boot=0.0, backup=0.0, identity=0.0)
    results.add("testinfra-single", Run(113.77, 359, Cost(49, 0, 419, 419), path))
    title = "testinfra over ssh, without a control path"
    print_table(results, {"testinfra-single": title}, [], open_output())
    said = capsys.readouterr().out.splitlines()
    row = next(line for line in said if title in line)
    assert "113.77" in row
    assert "419" in row
    assert f"  PVE's own work in {title}: {path}; all of it 113.77 times that" in said
