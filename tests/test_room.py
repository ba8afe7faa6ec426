"""Memory, storage and thin pools are judged before the first clone, and a full clone of a large disk is announced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.observed import ObservedStorage, ObservedThinPool
from harness.plan import Plan, diff
from harness.plan.room import metadata_findings
from tests import sites
from tests.test_plan import THIN, site, template, vm

GIB, MIB = 1 << 30, 1 << 20


def pool(metadata_used: int, metadata: int = 1024 * MIB) -> ObservedThinPool:
    return ObservedThinPool("pve/data", 900 * GIB, 10 * GIB, metadata, metadata_used)


def plan(disk: str, thin: ObservedStorage, clone: str = "full") -> Plan:
    contract = sites.contract(sites.guest(clone=clone))  # type: ignore[arg-type]
    large = template(scsi0=f"local-lvm:base-9000-disk-0,size={disk}")
    return diff(contract, site(large, storages=(thin,)))


def wide(metadata_used: int = 0) -> ObservedStorage:
    return replace(THIN, available_bytes=900 * GIB, thin_pool=pool(metadata_used))


def test_a_full_clone_of_a_large_disk_is_announced_with_its_cost() -> None:
    (said,) = plan("256G", wide()).warnings
    assert said == (
        "metrics-vm01 is a full clone (declared so) of a virtual disk of 256.0 GiB: all of it is read, up to all of it "
        "is written to local-lvm, and it takes about 11 to 87 minutes; a linked clone takes seconds"
    )


@pytest.mark.parametrize(("disk", "clone"), [("4G", "full"), ("256G", "linked"), ("256G", "auto")])
def test_what_costs_little_is_not_announced(disk: str, clone: str) -> None:
    assert plan(disk, wide(), clone).warnings == ()


def test_metadata_that_would_not_do_refuses_though_there_is_data() -> None:
    (refusal,) = plan("256G", wide(800 * MIB)).refusals
    assert refusal.reason == (
        "the metadata of the thin pool pve/data (local-lvm) is 78% full and would be up to 103% (1024 MiB)"
    )
    assert "lvextend --poolmetadatasize" in refusal.do


def test_metadata_that_gets_scarce_is_said() -> None:
    found = plan("256G", wide(600 * MIB))
    assert found.refusals == ()
    assert any("is 59% full and would be up to 84%" in warning for warning in found.warnings)


def test_a_linked_clone_needs_next_to_no_metadata() -> None:
    assert plan("256G", wide(900 * MIB), "linked").refusals == ()


def test_a_pool_that_tells_no_metadata_is_not_judged() -> None:
    assert metadata_findings("local-lvm", pool(0, 0), 900 * GIB) == ([], [])


def test_no_data_refuses_before_anything_is_cloned() -> None:
    (refusal,) = plan("256G", replace(wide(), available_bytes=100 * GIB)).refusals
    assert "has 100.0 GiB free, the new clones need 256.0 GiB: it is full" in refusal.reason


def with_other(status: str, memory: str, **changes: object) -> Plan:
    other = vm(900, status, tags=None, description=None, name="other", memory=memory, **changes)
    return diff(sites.contract(sites.guest()), site(template(), other))


def test_whoever_else_starts_with_the_node_needs_memory_too() -> None:
    (refusal,) = with_other("stopped", "32768", onboot=1).refusals
    assert refusal.reason == (
        "the declared guests need 1024 MiB of memory, other VMs there 32768 MiB, the node has 32768 MiB"
    )
    assert with_other("running", "32768", onboot=0).refusals == (refusal,)


def test_a_vm_that_stays_off_needs_none() -> None:
    assert with_other("stopped", "32768", onboot=0).refusals == ()


def test_memory_that_leaves_the_host_too_little_is_said() -> None:
    (warning,) = with_other("running", "30000").warnings
    assert warning.endswith("which leaves less than the 2048 MiB kept for the host")
