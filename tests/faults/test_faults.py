"""Each seeded fault turns exactly its clauses red, says so in a sentence that helps, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.faults import machine
from tests.faults.bench import Bench, Look, open_bench
from tests.faults.fault import Fault, complaints, messages, red_specs
from tests.faults.score import FAULT, SPECS
from tests.faults.table import FAULTS
from tests.faults.ways import record_good_drills
from tests.site.driver import ROOT, provisioned

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The lab as the documented machine, provisioned, with every drill done: it keeps the whole contract."""
    folder = tmp_path_factory.mktemp("faults")
    inventory = folder / "inventory"
    machine.declare(ROOT / "inventory", inventory)
    at = f"--inventory={inventory}"
    with (
        pytest.MonkeyPatch.context() as patched,
        provisioned(folder / "state", ("lab.up", "--bootstrapped", at), ("provision", at)) as site,
    ):
        patched.setenv("MGMT_HARNESS_STATE", str(site.state))
        machine.disguise()
        made = open_bench(inventory, folder)
        record_good_drills(made.contract)
        yield made


@pytest.fixture(scope="module")
def found_red() -> set[str]:
    """The specs that some fault of this run has turned red."""
    return set()


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Look:
    """A run before any fault."""
    return bench.verify()


def test_nothing_is_waived_and_everything_holds(whole: Look) -> None:
    assert complaints_of_none(whole) == []
    assert whole.report.waivers == ()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_turns_its_clauses_red_and_no_other(
    bench: Bench, whole: Look, found_red: set[str], fault: Fault, record_property: Callable[[str, object], None]
) -> None:
    record_property(FAULT, f"{', '.join(fault.clauses)}: {fault.what}")
    with fault.seed(bench):
        look = bench.verify()
    wrong = complaints(fault, look)
    if wrong:
        pytest.fail("\n".join([*wrong, *left_behind(bench)]), pytrace=False)
    found_red |= red_specs(look)


def left_behind(bench: Bench) -> list[str]:
    """What is still wrong when the fault is mended: that was there before it, or was not put right."""
    return [f"and afterwards: {text}" for text in complaints_of_none(bench.verify())]


def test_the_chain_breaks_at_the_first_bad_link(bench: Bench) -> None:
    fault = next(fault for fault in FAULTS if fault.what == "a reservation missing")
    with fault.seed(bench):
        printed = bench.verify().printed
    (line,) = [line for line in printed.splitlines() if line.startswith("  metrics-vm01 ") and " = " in line]
    assert " ".join(line.split()) == (
        "metrics-vm01 02:de:99:01:01:01 = net0 | reservation: expected 198.18.99.30, seen none"
    )


def test_all_is_well_afterwards(bench: Bench) -> None:
    """Each fault was mended, so none of the findings above was another's."""
    assert complaints_of_none(bench.verify()) == []


def test_every_spec_was_red_once(
    whole: Look, found_red: set[str], request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """A check that cannot fail proves nothing: the table has a fault for every spec."""
    ran = [item for item in request.session.items if getattr(item, "originalname", "") == FOUND]
    if len(ran) < len(FAULTS):
        pytest.skip(f"{len(ran)} of {len(FAULTS)} faults were selected")
    specs = {check.name.partition("[")[0] for clause in whole.report.clauses for check in clause.checks}
    record_property(SPECS, f"{len(specs & found_red)} of {len(specs)}")
    assert sorted(specs - found_red) == []


FOUND = test_a_fault_turns_its_clauses_red_and_no_other.__name__


def complaints_of_none(look: Look) -> list[str]:
    """Everything that is not as it should be while nothing is broken: each clause holds, each VM's chain is whole."""
    chains = [f"{chain.guest}: {chain.said}" for chain in look.report.chains if chain.verdict != "pass"]
    clauses = [clause for clause in look.report.clauses if clause.verdict != "pass"]
    return chains + [f"{clause.id} is {clause.verdict}: {' / '.join(messages(clause))}" for clause in clauses]
