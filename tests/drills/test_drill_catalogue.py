"""Every drill that can be declared is in the catalogue, and has a course."""

from __future__ import annotations

from typing import get_args

from harness.contract import DrillName
from harness.drills.catalogue import DRILLS
from harness.drills.courses import COURSES


def test_every_drill_has_a_course() -> None:
    assert set(get_args(DrillName)) == set(DRILLS) == set(COURSES)


def test_a_drill_that_is_about_one_vm_is_mended_from_here() -> None:
    """The others are undone by the hypervisor itself, whatever became of us."""
    assert {name for name, course in COURSES.items() if course.mend} == {
        name for name, drill in DRILLS.items() if drill.takes_guest
    }
