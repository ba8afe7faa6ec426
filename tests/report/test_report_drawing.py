"""The drawing of the network and the bars: nothing overlaps or leaves the page, lengths are what they stand for."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from harness.report.builds import Build
from harness.report.chart import SCALE, measure
from harness.report.model import ShownBridge, ShownGuest
from harness.report.picture import NARROW, WIDE, Box, Drawing, Size, draw
from tests.report.values import GUESTS, NETWORK, STARTED, report


def guests(number: int, bridge: str = "vmbr0") -> tuple[ShownGuest, ...]:
    return tuple(replace(GUESTS[0], name=f"vm{index}-{bridge}", bridge=bridge) for index in range(number))


def drawn(size: Size, *numbers: int) -> Drawing:
    bridges = tuple(ShownBridge(f"vmbr{index}", "eno1", (), True) for index in range(len(numbers)))
    shown = tuple(guest for index, number in enumerate(numbers) for guest in guests(number, f"vmbr{index}"))
    found = draw(replace(report(), guests=shown, network=replace(NETWORK, bridges=bridges)), size)
    assert found is not None
    return found


def apart(one: Box, other: Box) -> bool:
    return (
        one.x + one.width <= other.x
        or other.x + other.width <= one.x
        or one.y + one.height <= other.y
        or other.y + other.height <= one.y
    )


def within(inner: Box, outer: Box) -> bool:
    return (
        outer.x <= inner.x
        and outer.y <= inner.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=lambda size: size.name)
@pytest.mark.parametrize("numbers", [(10,), (1,), (0,), (7, 3), (0, 0, 12), ()], ids=str)
def test_every_box_has_its_place(size: Size, numbers: tuple[int, ...]) -> None:
    found = drawn(size, *numbers)
    vms = [vm for bridge in found.bridges for vm in bridge.vms]
    boxes = [bridge.box for bridge in found.bridges] + [vm.box for vm in vms]
    assert len(vms) == sum(numbers)
    assert all(within(box, found.hypervisor) for box in boxes)
    assert all(apart(one, other) for one, other in combinations(boxes, 2))
    assert within(found.hypervisor, Box(0, 0, size.width, found.height))
    assert apart(found.router, found.hypervisor)


def test_each_vm_hangs_on_its_bridge() -> None:
    (bridge,) = drawn(WIDE, 7).bridges
    lines = {bridge.box.y + bridge.box.height, *(rail[0] for rail in bridge.rails)}
    assert {vm.drop for vm in bridge.vms} == lines
    assert all(vm.drop < vm.box.y for vm in bridge.vms)
    assert bridge.trunk is not None
    assert bridge.trunk[2] == bridge.rails[-1][0]


def test_a_vm_shows_the_gravest_of_its_checks_and_what_is_waived_counts_for_nothing() -> None:
    found = draw(report(), WIDE)
    assert found is not None
    verdicts = {vm.guest.name: vm.verdict for vm in found.bridges[0].vms}
    assert verdicts == {"metrics-vm01": "fail", "logs-vm01": None}
    waived = tuple(clause for clause in report().clauses if clause.verdict in ("pass", "waived"))
    calm = draw(report("pass", clauses=waived), WIDE)
    assert calm is not None
    assert calm.bridges[0].vms[0].verdict == "pass"


def test_a_run_that_knows_nothing_of_the_network_draws_nothing() -> None:
    assert draw(replace(report(), network=None), WIDE) is None


def build(guest: str, **seconds: float) -> Build:
    return Build(guest, "created", None, STARTED, seconds)


def test_bars_are_as_long_as_what_they_stand_for() -> None:
    chart = measure([build("a", clone=2.0, reach=5.0), build("b", clone=4.0)])
    assert chart is not None
    assert chart.ticks[-1] == (8.0, SCALE)
    assert [(part.x, part.width) for part in chart.bars[0].parts] == [(0, 250), (250, 625)]
    assert chart.steps == ("clone", "reach")


@pytest.mark.parametrize(
    ("longest", "ticks"),
    [
        (0.3, [0, 0.1, 0.2, 0.3]),
        (13.2, [0, 5, 10, 15]),
        (100, [0, 20, 40, 60, 80, 100]),
        (700, [0, 200, 400, 600, 800]),
    ],
)
def test_ticks_are_round_numbers(longest: float, ticks: list[float]) -> None:
    chart = measure([build("a", clone=longest)])
    assert chart is not None
    assert [pytest.approx(seconds) for seconds, _ in chart.ticks] == ticks


def test_nothing_known_is_no_chart() -> None:
    assert measure([]) is None
    assert measure([build("a", clone=0.0)]) is None
