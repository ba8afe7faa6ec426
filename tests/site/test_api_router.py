"""The same faults on a router with an API: found and named, mended in one activation, or put back as it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from harness import lab
from harness.lab.router.daemons import LEASES_FILE
from harness.lab.router.first import STATE
from tests.site.driver import ROOT, Site, provisioned
from tests.site.faults import end_second_server, messages, start_second_server
from tests.site.router_admin import opnsense, uuid_of, vyos

pytestmark = pytest.mark.lab

ROUTER, ELSEWHERE, STRANGER = "core-rt01", "198.18.99.77", "02:aa:bb:cc:dd:ee"
DOMAIN = "lab.deevnet.net"
METRICS, LOGS, DASHBOARDS = "02:de:99:01:01:01", "02:de:99:01:02:01", "02:de:99:01:03:01"
RESERVATIONS, OVERRIDES = "kea/dhcpv4/search_reservation", "unbound/settings/search_host_override"
ALIASES = "unbound/settings/search_host_alias"
KEA_FILE, UNBOUND_FILE = "/etc/kea/kea-dhcp4.conf", "/etc/unbound/unbound.conf"
PUT_BACK = f"the state before is back on {ROUTER}"


@dataclass(frozen=True)
class Fault:
    """What each clause must say; `alone` when no other may be broken."""

    seed: Callable[[Site], object]
    words: dict[str, tuple[str, ...]]
    mend: Callable[[Site], object] | None = None
    alone: bool = True


@pytest.fixture(scope="module")
def kea(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    up = ("lab.up", "--bootstrapped", "--router", "kea")
    with provisioned(tmp_path_factory.mktemp("state"), up, ("provision",)) as made:
        yield made


# --- OPNsense: found and named ---------------------------------------------------------------------------------------


def activate() -> None:
    for service in ("kea", "unbound"):
        opnsense(f"{service}/service/reconfigure")


@contextmanager
def put_back(site: Site) -> Iterator[None]:
    """Afterwards the router is as it is now, its leases too."""
    site.run(ROUTER, f"cp {STATE}/state.json /root/state.json; cp {LEASES_FILE} /root/leases")
    try:
        yield
    finally:
        site.run(
            ROUTER,
            "systemctl kill -s CONT kea; systemctl stop kea router-api && "
            f"cp /root/state.json {STATE}/state.json && cp /root/leases {LEASES_FILE} && systemctl start router-api",
        )
        activate()


def spoil_entries(_: Site) -> None:
    spoil_reservations()
    spoil_names()
    activate()


def spoil_reservations() -> None:
    """One is missing, one is for another MAC."""
    opnsense(f"kea/dhcpv4/del_reservation/{uuid_of(RESERVATIONS, hw_address=METRICS)}")
    other = {"reservation": {"hw_address": "02:de:99:7f:00:01"}}
    opnsense(f"kea/dhcpv4/set_reservation/{uuid_of(RESERVATIONS, hw_address=LOGS)}", other)


def reserve_twice(_: Site) -> None:
    """OPNsense compares MACs as text, Kea does not: it does not start with both."""
    subnet = uuid_of("kea/dhcpv4/search_subnet", subnet="198.18.99.0/24")
    twice = {"subnet": subnet, "ip_address": ELSEWHERE, "hw_address": DASHBOARDS.replace(":", "-")}
    opnsense("kea/dhcpv4/add_reservation", {"reservation": twice})
    activate()


def age_leases(site: Site) -> None:
    """Of before the reservations: one has another address, the other's address is somebody else's."""
    edits = f"/,{METRICS},/s/^[^,]*/{ELSEWHERE}/;/^198.18.99.31,/s/,{LOGS},[^,]*,/,{STRANGER},,/"
    site.run(ROUTER, f"systemctl stop kea && sed -i '{edits}' {LEASES_FILE} && systemctl start kea")


def spoil_names() -> None:
    """A without PTR; PTR elsewhere, as the first override of an address has it; an alias that is switched off."""
    metrics, logs = (uuid_of(OVERRIDES, hostname=name) for name in ("metrics-vm01", "logs-vm01"))
    opnsense(f"unbound/settings/set_host_override/{metrics}", {"host": {"addptr": "0"}})
    opnsense(f"unbound/settings/set_host_override/{logs}", {"host": {"hostname": "older-vm01"}})
    new = {"enabled": "1", "hostname": "logs-vm01", "domain": DOMAIN, "rr": "A", "server": "198.18.99.31"}
    opnsense("unbound/settings/add_host_override", {"host": new})
    alias = uuid_of(ALIASES, hostname="dashboards")
    opnsense(f"unbound/settings/set_host_alias/{alias}", {"alias": {"enabled": "0"}})


NOBODY = "DHCP servers on vmbr0: expected 198.18.99.1, seen none"
FAULTS = {
    "reservations and names": Fault(
        spoil_entries,
        {
            "network.reservation": (
                f"addresses reserved for {METRICS}: expected 198.18.99.30, seen none",
                f"MACs with 198.18.99.31 reserved: expected {LOGS}, seen 02:de:99:7f:00:01",
            ),
            "network.dns": (
                f"PTR 198.18.99.30: expected metrics-vm01.{DOMAIN}, seen none",
                f"PTR 198.18.99.31: expected logs-vm01.{DOMAIN}, seen older-vm01.{DOMAIN}",
                f"expected dashboards.{DOMAIN}: 198.18.99.32, seen dashboards.{DOMAIN}: none",
            ),
        },
    ),
    "a reservation twice, which ends Kea": Fault(
        reserve_twice,
        {
            "network.reservation": (
                f"addresses reserved for {DASHBOARDS}: expected 198.18.99.32, seen 198.18.99.32, {ELSEWHERE}",
            ),
            "network.core-router": (NOBODY,),
        },
    ),
    "Kea alive and deaf": Fault(
        lambda site: site.run(ROUTER, "systemctl kill -s STOP kea"),
        {
            "network.core-router": (NOBODY,),
            "network.reservation": (f"DHCP offers to {METRICS} on vmbr0: expected 198.18.99.30 by 198.18.99.1",),
        },
    ),
    "a second DHCP server": Fault(
        start_second_server,
        {"network.core-router": ("DHCP servers on vmbr0: expected 198.18.99.1, seen 198.18.99.1, 198.18.99.39",)},
        end_second_server,
        alone=False,  # it runs in a VM, which is a broken promise of its own
    ),
    "old leases": Fault(
        age_leases,
        {
            "network.address": (
                f"leases against {METRICS} -> 198.18.99.30: expected none, seen {ELSEWHERE} for {METRICS}",
                f"leases against {LOGS} -> 198.18.99.31: expected none, seen 198.18.99.31 for {STRANGER}",
            )
        },
        alone=False,  # the reservation of logs-vm01 is there and cannot be offered
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_opnsense_is_found_and_named(kea: Site, name: str) -> None:
    fault = FAULTS[name]
    with put_back(kea):
        try:
            fault.seed(kea)
            status, result = kea.verify()
        finally:
            if fault.mend:
                fault.mend(kea)
    said = messages(result)
    missing = {words: said.get(clause) for clause, all_of in fault.words.items() for words in all_of}
    assert all(words in (told or "") for words, told in missing.items()), said
    assert status == 1, said
    assert not fault.alone or set(said) == set(fault.words)


def test_all_is_well_afterwards(kea: Site) -> None:
    """Each fault was mended, so none of the findings above was another's."""
    status, result = kea.verify()
    assert status == 0, messages(result)
    assert {chain["verdict"] for chain in result["chains"]} == {"pass"}


# --- OPNsense: applied, or as it was ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """What OPNsense holds and what its daemons were given, whatever the order."""

    entries: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)


def held(site: Site) -> Held:
    rows = [row for table in (RESERVATIONS, OVERRIDES, ALIASES) for row in opnsense(table)["rows"]]
    told = ("hw_address", "ip_address", "hostname", "domain", "server", "enabled", "%host")
    entries = sorted(str([row.get(name) for name in told]) for row in rows)
    served = site.run(ROUTER, f"cat {KEA_FILE} {UNBOUND_FILE}").replace(",\n", "\n")
    return Held(entries, sorted(line.strip() for line in served.splitlines()))


def starts(site: Site, unit: str) -> int:
    return int(site.run(ROUTER, f"journalctl -u {unit} --no-pager | grep -c 'Started {unit}.service'"))


@pytest.fixture
def lacking(kea: Site) -> Iterator[Site]:
    """Without the reservation and the names of metrics-vm01; whole afterwards."""
    whole = held(kea)
    opnsense(f"kea/dhcpv4/del_reservation/{uuid_of(RESERVATIONS, hw_address=METRICS)}")
    opnsense(f"unbound/settings/del_host_override/{uuid_of(OVERRIDES, hostname='metrics-vm01')}")
    activate()
    yield kea
    mended = kea.invoke("router.apply")
    assert mended.status == 0, mended.said
    assert held(kea) == whole


@contextmanager
def fault_at(site: Site, action: str, made_by: str) -> Iterator[str]:
    """The file that says what the action does instead."""
    file = f"{STATE}/faults/{action}"
    site.run(ROUTER, f"mkdir -p {STATE}/faults && {made_by} {file}")
    try:
        yield file
    finally:
        site.run(ROUTER, f"rm {file}")


@contextmanager
def killed_at(site: Site, action: str) -> Iterator[None]:
    """A router.apply that was killed while OPNsense had that action before it, and has until the block ends."""
    with fault_at(site, action, "mkfifo") as file:
        # Opening the FIFO takes until its reader is there, which then waits until it is closed.
        hold = [*lab.ssh_command(ROUTER), f"timeout 60 sh -c 'exec 3>{file}; echo held; cat'"]
        with (
            subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder,
            subprocess.Popen(
                [ROOT / "invoke", "router.apply"],
                env={**os.environ, "MGMT_HARNESS_STATE": str(site.state)},
                stdin=subprocess.DEVNULL,
            ) as run,
        ):
            assert holder.stdout is not None
            told = holder.stdout.readline()
            run.kill()
            assert told == "held\n"
            yield


def test_differences_are_mended_in_one_activation_of_each(lacking: Site) -> None:
    before = starts(lacking, "kea"), starts(lacking, "unbound")
    applied = lacking.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert "3 changes on core-rt01, served: 12 DHCP offers on the hypervisor's bridge, 41 DNS answers" in applied.said
    assert (starts(lacking, "kea"), starts(lacking, "unbound")) == (before[0] + 1, before[1] + 1)
    assert "no difference" in lacking.invoke("router.check").said


def test_a_refusal_in_mid_write_puts_the_state_before_back(lacking: Site) -> None:
    before, started = held(lacking), starts(lacking, "kea")
    with fault_at(lacking, "unbound.settings.add_host_alias", "echo The configuration is locked >"):
        applied = lacking.invoke("router.apply")
    assert applied.status == 2
    assert "OPNsense says: An API exception occurred: The configuration is locked" in applied.said
    assert PUT_BACK in applied.said
    assert held(lacking) == before
    assert starts(lacking, "kea") == started + 1, "put back once"


def test_an_apply_killed_in_mid_write_is_put_back_by_the_next(lacking: Site) -> None:
    before = held(lacking)
    with killed_at(lacking, "unbound.settings.add_host_override"):
        half = held(lacking)
    assert half.served == before.served, "nothing of it is active"
    assert len(half.entries) == len(before.entries) + 1, "the reservation"
    checked = lacking.invoke("router.check")
    assert (checked.status, "was cut off and is not proven" in checked.said) == (1, True), checked.said
    applied = lacking.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert f"was cut off; the state before it is back on {ROUTER}" in applied.said
    assert f"+ reservation {METRICS} -> 198.18.99.30 (metrics-vm01)" in applied.said, "from there it went on"


def test_an_apply_killed_at_its_last_step_is_finished_by_the_next(lacking: Site) -> None:
    with killed_at(lacking, "unbound.service.reconfigure"):
        pass
    applied = lacking.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert "was cut off after its write; it is whole, and proven now" in applied.said


# --- VyOS ------------------------------------------------------------------------------------------------------------

MAPPINGS = "service dhcp-server shared-network-name LAB subnet 198.18.99.0/24 static-mapping"
NAMES = "system static-host-mapping host-name"
CLAUSES = ("--clause", "network.reservation", "--clause", "network.dns")


@pytest.fixture(scope="module")
def bare_vyos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """No VM is there: what is asked is the router's alone."""
    up = ("lab.up", "--bootstrapped", "--router", "vyos")
    with provisioned(tmp_path_factory.mktemp("state"), up) as made:
        yield made


def test_faults_on_vyos_are_found_named_and_mended_in_one_commit(bare_vyos: Site) -> None:
    vyos(
        f"delete {MAPPINGS} metrics-vm01",
        f"set {MAPPINGS} logs-vm01 mac 02:de:99:7f:00:01",
        f"delete {NAMES} dashboards-vm01.{DOMAIN} alias",
        f"set {NAMES} alerting-vm01.{DOMAIN} inet {ELSEWHERE}",
        f"delete {NAMES} alerting-vm01.{DOMAIN} inet 198.18.99.33",
    )
    status, result = bare_vyos.verify(*CLAUSES)
    said = messages(result)
    assert (status, set(said)) == (1, {"network.reservation", "network.dns"}), said
    assert f"addresses reserved for {METRICS}: expected 198.18.99.30, seen none" in said["network.reservation"]
    assert f"MACs with 198.18.99.31 reserved: expected {LOGS}, seen 02:de:99:7f:00:01" in said["network.reservation"]
    assert f"expected dashboards.{DOMAIN}: 198.18.99.32, seen dashboards.{DOMAIN}: none" in said["network.dns"]
    assert f"PTR 198.18.99.33: expected alerting-vm01.{DOMAIN}, seen none" in said["network.dns"]

    lock = f"{STATE}/committing"
    bare_vyos.run(ROUTER, f"touch {lock}")
    served = bare_vyos.run(ROUTER, f"cat {KEA_FILE} {UNBOUND_FILE}")
    try:
        refused = bare_vyos.invoke("router.apply")
    finally:
        bare_vyos.run(ROUTER, f"rm {lock}")
    assert (refused.status, PUT_BACK in refused.said) == (2, True), refused.said
    assert "Somebody else is committing there: wait for it" in refused.said
    assert bare_vyos.run(ROUTER, f"cat {KEA_FILE} {UNBOUND_FILE}") == served

    started = starts(bare_vyos, "kea")
    applied = bare_vyos.invoke("router.apply")
    assert applied.status == 0, applied.said
    assert starts(bare_vyos, "kea") == started + 1
    assert "no difference" in bare_vyos.invoke("router.check").said
