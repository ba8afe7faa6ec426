"""What the inventory declares, without a look at any machine."""

from __future__ import annotations

import pytest

from benchmarks.testinfra_specs.promised import EXPECTED, GUESTS, Values

NAMESPACE: Values = EXPECTED["mac_namespace"]


# clause identity.mac-namespace: mac_says_its_place, mac_is_local_and_unicast, mac_is_nobody_elses
@GUESTS
def test_mac_says_its_place(vm: Values) -> None:
    role, group = NAMESPACE["roles"][vm["category"]], NAMESPACE["groups"][vm["group"]]
    assert vm["mac"] == f"{NAMESPACE['prefix']}:{NAMESPACE['environment']}:{role}:{group}:{vm['index']:02x}"


@GUESTS
def test_mac_is_local_and_unicast(vm: Values) -> None:
    assert int(vm["mac"][:2], 16) & 0b11 == 0b10


@GUESTS
def test_mac_is_nobody_elses(vm: Values) -> None:
    assert EXPECTED["declared_macs"].count(vm["mac"]) == 1


# clause network.no-core-services: declares_no_core_service
@GUESTS
def test_declares_no_core_service(vm: Values) -> None:
    assert not {port for one in vm["services"] for port in (*one["tcp"], *one["udp"])} & set(EXPECTED["core_ports"])


# clause separation.category: is_declared_with_one_category
@GUESTS
def test_is_declared_with_one_category(vm: Values) -> None:
    assert vm["category"] in EXPECTED["categories"]


# clause separation.coverage: is_carried_or_planned
@pytest.mark.parametrize("responsibility", EXPECTED["responsibilities"])
def test_is_carried_or_planned(responsibility: str) -> None:
    carried = {one for vm in EXPECTED["guests"] for one in vm["responsibilities"]}
    assert responsibility in carried | EXPECTED["planned"].keys()


# clause service.healthy: its_services_are_declared
@GUESTS
def test_its_services_are_declared(vm: Values) -> None:
    assert vm["services"]
