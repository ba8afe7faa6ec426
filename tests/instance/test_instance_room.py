"""A nested VM that does not fit is refused with everything that is missing, before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.contract import Mac, NestedMachine
from harness.errors import Missing
from harness.instance import room
from harness.instance.place import place_of
from harness.instance.room import GIB, OVERHEAD_MIB, Room

MACHINE = NestedMachine(firmware="bios", memory_mib=4096, cores=2, disk_gib=32, mac=Mac("02:de:98:00:02:01"))
ROOMY = Room(available_mib=8192, promised_mib=0, free_bytes=100 * GIB, folder=Path("/var/lib"), processors=4)


def test_what_fits_is_let_pass() -> None:
    room.require(ROOMY, MACHINE, site="nested")
    assert list(room.warnings(ROOMY, MACHINE)) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"available_mib": 4096 + OVERHEAD_MIB - 1}, "it is to have 4096 MiB of memory"),
        ({"promised_mib": 4096}, "4096 MiB of that promised to other nested VMs"),
        ({"free_bytes": 3 * GIB}, "its disk needs 4 GiB to begin with, and /var/lib has 3.0 GiB free"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, int], said: str) -> None:
    with pytest.raises(Missing) as refused:
        room.require(replace(ROOMY, **change), MACHINE, site="nested")  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert "./invoke nested.down" in refused.value.do


def test_all_that_is_missing_is_said_at_once() -> None:
    with pytest.raises(Missing) as refused:
        room.require(replace(ROOMY, available_mib=100, free_bytes=0), MACHINE, site="nested")
    assert "memory" in refused.value.happened
    assert "disk" in refused.value.happened


def test_exactly_enough_is_enough() -> None:
    room.require(replace(ROOMY, available_mib=4096 + OVERHEAD_MIB, free_bytes=4 * GIB), MACHINE, site="nested")


def test_what_may_run_out_later_is_warned_of() -> None:
    few = replace(ROOMY, free_bytes=10 * GIB, processors=1)
    disk, processors = room.warnings(few, MACHINE)
    assert "may grow to 32 GiB" in disk
    assert "2 processors share the 1" in processors


def test_each_site_has_a_place_of_its_own_and_an_interface_name_the_kernel_takes() -> None:
    one, other = place_of("nested"), place_of("a-site-with-quite-a-long-name")
    assert {one.state, one.group, one.link}.isdisjoint({other.state, other.group, other.link})
    assert all(len(place.link) <= 15 for place in (one, other))
