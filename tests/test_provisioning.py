"""What every front door asks for is looked at before anything is asked of the hypervisor."""

from __future__ import annotations

import pytest

from harness import provisioning
from harness.errors import Invalid
from tests import sites


def test_a_plan_for_an_unknown_guest_names_the_known_ones() -> None:
    with pytest.raises(Invalid, match=r"has no management VM named nosuch\. Name one of: metrics-vm01"):
        provisioning.make_plan(sites.contract(sites.guest("metrics-vm01")), {"nosuch"})
