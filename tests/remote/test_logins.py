"""A site's logins are what its contract says: addresses, users, keys, and the pins that are trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness import errors
from harness.remote.config import Login, guest_login, hypervisor_login, router_login, site_logins
from tests.routers.values import ROUTER, contract

PINS = (Path("/keys/known_hosts"), Path("/state/known_hosts"))


def test_the_hypervisor_is_reached_as_declared() -> None:
    assert hypervisor_login(contract()) == Login("hv01", "198.18.99.21", 22, "root", Path("/keys/id"), PINS)


def test_a_guest_is_reached_at_its_address_as_the_automation_user() -> None:
    site = contract()
    login = guest_login(site, site.guest("metrics-vm01"))
    assert login == Login("metrics-vm01", "198.18.99.30", 22, "a_autoprov", Path("/keys/id"), PINS)


def test_pins_of_its_own_come_first() -> None:
    site = contract()
    ssh = replace(site.hypervisor.ssh, known_hosts=Path("/own/known_hosts"))
    login = hypervisor_login(replace(site, hypervisor=replace(site.hypervisor, ssh=ssh)))
    assert login.known_hosts == (Path("/own/known_hosts"), *PINS)


def test_a_router_without_login_is_refused_with_its_place() -> None:
    site = replace(contract(), router=replace(ROUTER, ssh=None))
    with pytest.raises(errors.Refused, match=r"on core-rt01: .*Add mgmt_router\.ssh .*inventory/lab/hosts\.yml:1"):
        router_login(site)
    assert [login.name for login in site_logins(site)] == ["hv01", "metrics-vm01", "logs-vm01"]


def test_all_logins_of_a_site() -> None:
    assert [login.name for login in site_logins(contract())] == ["hv01", "core-rt01", "metrics-vm01", "logs-vm01"]
