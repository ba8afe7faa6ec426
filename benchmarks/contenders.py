"""Who is measured: this harness, the floor, and the ways people go today; who cannot run here, and why."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import floor_plan, others
from benchmarks.counting import plain_config
from benchmarks.expected import expected_of
from benchmarks.others import Files
from benchmarks.place import ROOT, Place, run_program
from benchmarks.turns import Contender
from harness import lab
from harness.remote.ssh import Connections

FLOOR = [str(ROOT / ".venv/bin/python"), "-I", str(Path(__file__).with_name("floor.py"))]
PROVISIONING = (
    *("ansible-provision", "ansible-provision-again", "provision-floor"),
    *("provision-recorded", "provision", "provision-again"),
)
# The order of turns: this harness provisions last, so that what is verified is there.
NAMES = (*PROVISIONING, *("verify", "floor", "testinfra", "testinfra-single", "serverspec", "ansible"))


@dataclass(frozen=True)
class Bench:
    """What contenders are made of: the place, and the files that each tool reads."""

    place: Place
    plan: Path
    files: Files

    def floor(self, work: str) -> str:
        (self.place.folder / "floor_known_hosts").unlink(missing_ok=True)
        return run_program([*FLOOR, str(self.plan), work], {})


def set_up(place: Place, opened: Connections) -> Bench:
    notes = place.template_notes()
    single = plain_config(opened, place.folder, control_path=False)
    plan, expected = place.folder / "plan.json", place.folder / "expected.json"
    plan.touch(0o600)  # it holds the tokens
    plan.write_text(json.dumps(floor_plan.plan_of(place.contract, single, notes)))
    expected.write_text(json.dumps(expected_of(place.contract, notes)))
    return Bench(place, plan, Files(plain_config(opened, place.folder, control_path=True), single, expected))


def contenders(bench: Bench) -> dict[str, Contender]:
    """All of them by name, in the order of their turns, whether they can run here or not."""
    every = {one.name: one for one in (*_provisioning(bench), *_verifying(bench))}
    return {name: every[name] for name in NAMES}


def left_out(bench: Bench, only: frozenset[str]) -> dict[str, str]:
    """Those of `only`, or of all, that cannot run here, and why."""
    return {name: why for name, why in _left_out(bench.place) if not only or name in only}


def _left_out(place: Place) -> Iterator[tuple[str, str]]:
    yield from others.left_out()
    if not place.in_lab:
        yield from ((name, "it deletes VMs and makes them: on the lab alone") for name in PROVISIONING)


def _verifying(bench: Bench) -> Iterator[Contender]:
    place, kept = bench.place, bench.place.folder / "verify.json"
    yield Contender(
        "verify",
        "this harness: verify",
        run=lambda: place.invoke("verify", "--json", str(kept)),
        prepare=_verified_before(bench),
        count_checks=lambda _: sum(len(one["checks"]) for one in json.loads(kept.read_text())["clauses"]),
    )
    others_too = (
        Contender("floor", "floor: one login per host, each path once", run=lambda: bench.floor("verify")),
        *others.testinfra_contenders(place, bench.files),
        others.serverspec_contender(place, bench.files),
        Contender(
            "ansible",
            "Ansible: the same as assertions",
            run=lambda: others.play(place, bench.files, "verify"),
            count_checks=others.count_asserts,
        ),
    )
    for one in others_too:
        yield _after(_made_by(bench, "provision"), one)


def _provisioning(bench: Bench) -> Iterator[Contender]:
    titles = {
        "ansible-provision": "Ansible: provision, 25 forks",
        "provision-floor": "floor: the calls of provisioning",
        "provision-recorded": "this harness: provision, tasks as recorded",
        "provision": "this harness: provision",
    }
    for name, title in titles.items():
        yield Contender(name, title, run=_making(bench, name), prepare=bench.place.clear)
    for name, title in (("ansible-provision", "Ansible"), ("provision", "this harness")):
        again = f"{title}: provision again"
        yield Contender(f"{name}-again", again, run=_making(bench, name), prepare=_made_by(bench, name))


def _making(bench: Bench, name: str) -> Callable[[], str]:
    """Provision that way, and note whose VMs these are."""
    ways: dict[str, Callable[[], str]] = {
        "ansible-provision": lambda: others.play(bench.place, bench.files, "provision"),
        "provision-floor": lambda: bench.floor("provision"),
        "provision-recorded": lambda: _as_recorded(bench.place),
        "provision": lambda: bench.place.invoke("provision"),
    }

    def make() -> str:
        said = ways[name]()
        bench.place.maker.write_text(name)
        return said

    return make


def _as_recorded(place: Place) -> str:
    """Whatever becomes of it, the others find PVE's tasks as they were."""
    lab.take_work("recorded")
    try:
        return place.invoke("provision")
    finally:
        lab.take_work("instant")


def _made_by(bench: Bench, name: str) -> Callable[[], None]:
    """The lab has its VMs from that contender: host keys and notes are those it knows."""

    def prepare() -> None:
        place = bench.place
        if place.in_lab and (not place.maker.exists() or place.maker.read_text() != name):
            place.clear()
            _making(bench, name)()

    return prepare


def _verified_before(bench: Bench) -> Callable[[], None]:
    """The VMs are ours and were verified once: what is measured is a run as all after the first."""

    def prepare() -> None:
        place = bench.place
        _made_by(bench, "provision")()
        mark = place.state / "verified-before"
        if place.in_lab and not mark.exists():
            place.invoke("verify")
            mark.touch()

    return prepare


def _after(first: Callable[[], None], contender: Contender) -> Contender:
    def prepare() -> None:
        first()
        contender.prepare()

    return Contender(contender.name, contender.title, contender.run, prepare, contender.count_checks)
