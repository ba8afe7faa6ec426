"""The lab's router in each of its kinds: one lab, one inventory, and what is said of it is where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import embedded, lab, probe
from harness.commands.lab import spec_of
from harness.errors import Invalid
from harness.lab import LabStatus, machines, paths
from harness.lab.router.daemons import LEASES_FILE
from harness.routers import opnsense, vyos
from harness.site import open_contract
from tests.lab.client import METRICS, connect, wait

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parent.parent.parent
INVENTORY = ROOT / "inventory"
OPENERS = {"kea": opnsense.open_router, "vyos": vyos.open_router}


@pytest.fixture(scope="module", params=["kea", "vyos"])
def kind(request: pytest.FixtureRequest, free_machine: None) -> Iterator[str]:
    """A lab with that router; its own inventory says how to reach it."""
    lab.up(spec_of(open_contract(INVENTORY, "lab", router=request.param)), progress=print)
    yield request.param
    lab.down(print)


def inside(*argv: str) -> str:
    return machines.run_inside(paths.MACHINES / "core-rt01", *argv, tried="look into the router")


def test_it_serves_the_inventory_from_its_first_start(kind: str) -> None:
    contract = open_contract(INVENTORY, "lab")
    assert contract.router.kind == {"kea": "opnsense", "vyos": "vyos"}[kind]
    with OPENERS[kind](contract) as router:
        seen = router.observe()
    assert set(seen.reservations) == set(contract.reservations)
    assert set(seen.records) == set(contract.records)
    for record in contract.records:
        if record.type == "A":
            assert [str(one) for one in probe.resolve_a(record.name, "198.18.99.1")] == [record.target]
            assert len(probe.resolve_ptr(record.target, "198.18.99.1")) == 1


def test_status_tells_how_to_reach_it(kind: str) -> None:
    told = lab.status().router
    assert told is not None
    assert told.kind == kind
    assert told.api is not None
    assert told.api.url == "https://198.18.99.1:443"
    assert (told.api.secret_file is None) == (kind == "vyos")
    assert Path(told.api.key_file).stat().st_mode & 0o777 == 0o600


def leased_to_metrics() -> str | None:
    return next(guest.address for guest in lab.status().guests if guest.vmid == METRICS.vmid)


def test_a_guest_gets_its_address(kind: str) -> None:
    api = connect(lab.status())
    api.start_clone(METRICS)
    leased = wait(
        lambda: {guest.vmid: guest.address for guest in lab.status().guests}.get(METRICS.vmid),
        what="lease",
        deadline_s=20,
    )
    assert leased == str(METRICS.address)
    assert METRICS.mac in inside("cat", LEASES_FILE)


def test_packages_and_time_are_there_too(kind: str) -> None:
    assert probe.tcp_open("198.18.99.1", 80)
    assert inside("systemctl", "is-active", "chrony", "artifacts").split() == ["active", "active"]
    assert inside("systemctl", "is-system-running").strip() == "running"


def test_it_reboots_as_it_was(kind: str) -> None:
    before = lab.status().hosts[0].pid
    inside("systemctl", "reboot")
    wait(lambda: lab.status().hosts[0].pid not in {None, before} or None, deadline_s=20, what="reboot")
    contract = open_contract(INVENTORY, "lab")
    lab.up(spec_of(contract), progress=print)
    assert [str(one) for one in probe.resolve_a("hv01.lab.deevnet.net", "198.18.99.1")] == ["198.18.99.21"]
    with OPENERS[kind](contract) as router:
        assert set(router.observe().reservations) == set(contract.reservations)


def test_up_again_touches_nothing(kind: str) -> None:
    said: list[str] = []
    lab.up(spec_of(open_contract(INVENTORY, "lab")), progress=said.append)
    assert said == ["The lab is up already"]


def test_dnsmasq_is_the_default(running_lab: LabStatus) -> None:
    assert running_lab.router is not None
    assert (running_lab.router.kind, running_lab.router.api) == ("dnsmasq", None)
    assert open_contract(INVENTORY, "lab").router.kind == "dnsmasq"


def test_only_the_labs_own_site_is_read_with_it(kind: str) -> None:
    assert embedded.running_router("lab") == kind
    assert embedded.running_router("dvntm") is None


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(Invalid, match="dnsmasq, kea, vyos"):
        open_contract(INVENTORY, "lab", router="bind")


@pytest.mark.parametrize("kind", ["dnsmasq", "kea", "vyos"])
def test_nothing_but_the_router_changes(kind: str) -> None:
    declared, plain = open_contract(INVENTORY, "lab", router=kind), open_contract(INVENTORY, "lab", router="dnsmasq")
    assert declared.router.address == plain.router.address
    assert (declared.guests, declared.reservations, declared.records) == (
        plain.guests,
        plain.reservations,
        plain.records,
    )
    assert declared.hypervisor == plain.hypervisor
