"""Lay the network out as a drawing, for a wide page and for a phone: pure, in pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.report.model import Report, ShownBridge, ShownGuest, ShownNetwork, Verdict

GAP = 14
PADDING = 16
HEAD = 54  # of a box that holds a name and a line below it
RAIL = 22  # from a line that VMs hang on to their boxes
CARD = 62
BELOW = 18  # from a row of boxes to the next row's line
BAR = 34  # a bridge


@dataclass(frozen=True)
class Size:
    """What a page has room for."""

    name: str
    width: int
    columns: int


WIDE = Size("wide", 920, 5)
NARROW = Size("narrow", 344, 2)


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class VmBox:
    """A VM's place; `drop` is where its line to the bridge starts."""

    box: Box
    drop: float
    guest: ShownGuest
    verdict: Verdict | None  # the gravest of its checks; None: there were none


@dataclass(frozen=True)
class BridgeBox:
    """A bridge, the lines its VMs hang on, and the VMs."""

    box: Box
    bridge: ShownBridge
    trunk: tuple[float, float, float] | None  # x, from, to
    rails: tuple[tuple[float, float, float], ...]  # y, from, to
    vms: tuple[VmBox, ...]
    hidden: str


@dataclass(frozen=True)
class Drawing:
    size: Size
    height: float
    router: Box
    hypervisor: Box
    link: tuple[float, float, float]  # x, from, to: the router's line to the hypervisor
    bridges: tuple[BridgeBox, ...]
    network: ShownNetwork


def draw(report: Report, size: Size) -> Drawing | None:
    """None where the run knows nothing of the network."""
    network = report.network
    if network is None:
        return None
    router = Box(0.5, 0.5, min(size.width - 1, 300), HEAD)
    top = router.height + 44
    verdicts = _verdicts(report)
    y, bridges = top + HEAD + 4, []
    for bridge in network.bridges:
        guests = [guest for guest in report.guests if guest.bridge == bridge.name]
        placed = _bridge(bridge, guests, verdicts, size, y)
        bridges.append(placed)
        y = max((vm.box.y + vm.box.height for vm in placed.vms), default=placed.box.y + BAR) + PADDING
    hypervisor = Box(0.5, top, size.width - 1, y - top)
    link = (PADDING + 26.0, router.height, top)
    return Drawing(size, y + 1, router, hypervisor, link, tuple(bridges), network)


def _bridge(
    bridge: ShownBridge, guests: list[ShownGuest], verdicts: Mapping[str, Verdict], size: Size, y: float
) -> BridgeBox:
    bar = Box(PADDING, y, size.width - 2 * PADDING, BAR)
    left = PADDING + 14  # the trunk runs down at the left of the boxes
    width = (size.width - PADDING - left - GAP * (size.columns - 1) - 2) / size.columns
    rows = [guests[start : start + size.columns] for start in range(0, len(guests), size.columns)]
    vms, rails = [], []
    for number, row in enumerate(rows):
        rail = y + BAR + number * (RAIL + CARD + BELOW)
        for column, guest in enumerate(row):
            box = Box(left + column * (width + GAP), rail + RAIL, width, CARD)
            vms.append(VmBox(box, rail, guest, verdicts.get(guest.name)))
        if number:  # the first row hangs on the bridge itself
            rails.append((rail, PADDING + 4.0, left + (len(row) - 1) * (width + GAP) + width / 2))
    trunk = (PADDING + 4.0, y + BAR, rails[-1][0]) if rails else None
    return BridgeBox(bar, bridge, trunk, tuple(rails), tuple(vms), "" if guests else "no VM")


def _verdicts(report: Report) -> dict[str, Verdict]:
    """The gravest verdict of each VM's checks; what is waived does not count."""
    gravity: dict[Verdict, int] = {"pass": 0, "unasserted": 1, "pending": 2, "unknown": 3, "fail": 4}
    found: dict[str, Verdict] = {}
    for clause in report.clauses:
        if clause.verdict == "waived":
            continue
        for check in clause.checks:
            if check.guest is not None:
                worst = found.get(check.guest, "pass")
                found[check.guest] = max(worst, check.verdict, key=lambda one: gravity.get(one, 0))
    return found
