"""One lab for all tests that need one; a machine that runs somebody's lab is left alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness import lab
from harness.lab import LabSpec, LabStatus
from tests.lab.client import LOGS, METRICS, Api, connect

MAIN = """\
no-resolv
no-poll
no-hosts
bind-dynamic
listen-address=198.18.99.1
domain=lab.deevnet.net
local=/lab.deevnet.net/
local=/99.18.198.in-addr.arpa/
addn-hosts=/etc/mgmt-dnsmasq/hosts.dns
dhcp-authoritative
dhcp-hostsfile=/etc/mgmt-dnsmasq/hosts.dhcp
dhcp-range=198.18.99.0,static,255.255.255.0,1h
no-ping
"""
# A record alone: dnsmasq also answers with the name of whoever has a lease.
NEVER_LEASED = "198.18.99.38 early-vm01.lab.deevnet.net\n"


@pytest.fixture(scope="session")
def spec() -> LabSpec:
    """A lab whose router knows two VMs and whose hypervisor needs no bootstrap."""
    known = (METRICS, LOGS)
    return LabSpec(
        dnsmasq={
            "lab.conf": MAIN,
            "/etc/mgmt-dnsmasq/hosts.dhcp": "".join(f"{vm.mac},{vm.address},{vm.name}\n" for vm in known),
            "/etc/mgmt-dnsmasq/hosts.dns": "".join(f"{vm.address} {vm.name}.lab.deevnet.net\n" for vm in known)
            + NEVER_LEASED,
        },
        hypervisor_state="bootstrapped",
    )


@pytest.fixture(scope="session")
def free_machine() -> Iterator[None]:
    """A machine that can run a lab, runs none, and is left without one."""
    if lacks := lab.missing_requirements():
        pytest.skip("; ".join(f"{lack.what} ({lack.do})" for lack in lacks))
    if lab.status().up:
        pytest.skip("somebody's lab is up and a machine carries one only: ./invoke lab.down")
    yield
    lab.down(print)


@pytest.fixture
def running_lab(free_machine: None, spec: LabSpec) -> LabStatus:
    """The lab, up; the same one from test to test as long as nobody breaks it."""
    return lab.up(spec, progress=print)


@pytest.fixture
def api(running_lab: LabStatus) -> Api:
    return connect(running_lab)


@pytest.fixture
def metrics(api: Api) -> Iterator[Api]:
    """The API of a lab in which the clone METRICS runs."""
    api.start_clone(METRICS)
    yield api
    if api.status(METRICS.vmid) == "running":
        api.run("POST", f"/nodes/hv01/qemu/{METRICS.vmid}/status/stop")
    api.run("DELETE", f"/nodes/hv01/qemu/{METRICS.vmid}")
