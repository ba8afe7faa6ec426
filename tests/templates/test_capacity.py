"""What the hypervisor says of its thin pools stops a run before its first write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.engine.observe import make_plan, observe
from harness.engine.provision import provision
from harness.errors import Unsafe
from harness.preflight.model import Finding
from harness.preflight.stock import judge_plan, judge_templates
from tests import sites
from tests.pve.served import make_certificate
from tests.simulators import Simulated, simulating
from tests.templates.benches import BenchWorld, world_of

GIB, MIB = 1 << 30, 1 << 20
THIN = {"storage": "local-lvm", "type": "lvmthin", "thinpool": "data", "vgname": "pve", "content": "rootdir,images"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[BenchWorld]:
    with simulating(tmp_path, *make_certificate(tmp_path)) as simulated:
        yield world_of(simulated, [sites.guest(clone="full")])


def pool_of(simulated: Simulated, **changes: int) -> None:
    simulated.control(op="seed", seed={"storages": [{**THIN, "total_bytes": 100 * GIB, **changes}]})


def test_a_thin_pool_is_read_with_its_storage(world: BenchWorld) -> None:
    pool_of(world.simulated, metadata_bytes=1024 * MIB, metadata_used_bytes=100 * MIB)
    storages = {one.name: one for one in observe(world.contract, world.simulated.reader()).storages}
    pool = storages["local-lvm"].thin_pool
    assert pool is not None
    assert (pool.name, pool.data_bytes) == ("pve/data", 100 * GIB)
    assert (pool.metadata_bytes, pool.metadata_used_bytes) == (1024 * MIB, 100 * MIB)
    assert storages["local"].thin_pool is None


def test_a_token_that_may_not_audit_leaves_it_unknown(world: BenchWorld) -> None:
    storages = observe(world.contract, world.simulated.writer()).storages
    assert all(storage.thin_pool is None for storage in storages)


def test_metadata_that_is_full_stops_provision_before_its_first_write(world: BenchWorld) -> None:
    pool_of(world.simulated, metadata_bytes=100 * MIB, metadata_used_bytes=93 * MIB)
    with pytest.raises(Unsafe, match="the metadata of the thin pool pve/data") as caught:
        provision(
            world.contract,
            world.simulated.writer(),
            reader=world.simulated.reader(),
            looks=world.bench().looks,
            report=lambda _: None,
        )
    assert "nothing was changed" in str(caught.value)
    assert world.simulated.writes() == 0


def test_provision_says_the_cost_of_a_large_full_clone_before_it_begins(world: BenchWorld) -> None:
    root = world.simulated.root()
    root.put("/nodes/hv01/qemu/9000/resize", {"disk": "scsi0", "size": "64G"})
    plan = make_plan(world.contract, world.simulated.reader())
    said: list[str] = []
    world.contract = replace(world.contract, guest_deadline_s=0.2)
    provision(
        world.contract,
        world.simulated.writer(),
        reader=world.simulated.reader(),
        looks=world.bench().looks,
        report=lambda event: said.append(f"{event.state}: {event.text}"),
    )
    (cost,) = plan.warnings
    assert "of a virtual disk of 64.0 GiB" in cost
    assert said[0] == f"note: {cost}"


def said_by(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.state, finding.said) for finding in findings]


def test_preflight_names_an_unfit_template_once(world: BenchWorld) -> None:
    world.examine()
    observed = observe(world.contract, world.simulated.reader())
    ((state, words),) = said_by(judge_templates(world.contract, observed))
    assert state == "failed"
    assert words.startswith("template debian-lab-12 (9000) failed its fitness test of ")
    assert words.endswith("(machine-id, host-keys)")
    assert "failed its fitness test" not in str(said_by(judge_plan(world.contract, observed)))
