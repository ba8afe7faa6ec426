"""A contract says what the inventory says: nothing more, nothing derived, each part with its place."""

from __future__ import annotations

import shutil
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from harness import inventory
from harness.contract import Contract, Record, Reservation, SecretRef
from harness.inventory import resolve

SHIPPED = Path(__file__).parent.parent / "inventory"
STATE = Path("/state/site")


def contract_of(site: str) -> Contract:
    return resolve(inventory.load(SHIPPED, site), state_dir=STATE)


@pytest.mark.parametrize("site", ["dvnt", "dvntm", "lab"])
def test_a_shipped_site_has_its_ten_guests_in_start_order(site: str) -> None:
    contract = contract_of(site)
    orders = [guest.start_order for guest in contract.guests]
    assert len(orders) == 10
    assert orders == sorted(orders)
    assert [guest.name for guest in contract.guests][:2] == ["jump-vm01", "oob-vm01"]
    first = {"dvnt": 1030, "dvntm": 2030, "lab": 130}[site]
    assert sorted(guest.vmid for guest in contract.guests) == list(range(first, first + 10))
    hosts = sorted(int(guest.nic.address.ip) & 0xFF for guest in contract.guests)
    assert hosts == list(range(30, 40))
    room = contract.hypervisor.hardware.memory_mib - contract.hypervisor.host_reserve_mib
    assert sum(guest.memory_mib for guest in contract.guests) <= room


def test_every_responsibility_has_a_guest_of_its_category() -> None:
    carried = {name: guest.category for guest in contract_of("dvntm").guests for name in guest.responsibilities}
    assert carried == {
        **dict.fromkeys(("metrics", "logs", "dashboards", "alerting"), "observability"),
        **dict.fromkeys(("ansible-runner", "image-factory", "bootstrap-coordination"), "automation"),
        "inventory-validation": "automation",
        **dict.fromkeys(("jump-host", "out-of-band"), "access"),
    }


def test_a_guest_is_resolved_in_full() -> None:
    guest = contract_of("dvntm").guest("jump-vm01")
    assert (guest.fqdn, guest.cnames) == ("jump-vm01.dvntm.deevnet.net", ("jump.dvntm.deevnet.net",))
    assert (guest.template, guest.clone, guest.storage) == ("fedora-server-43", "auto", None)
    assert (guest.memory_mib, guest.cores, guest.start_order, guest.start_delay_s) == (1024, 1, 10, 15)
    assert [(service.unit, service.ports) for service in guest.services] == [("sshd.service", (22,))]
    assert (guest.ssh.user, guest.ssh.port) == ("a_autoprov", 22)
    nic = guest.nic
    assert (nic.key, nic.slot, nic.bridge, nic.model, nic.vlan_tag) == ("eth0", "net0", "vmbr0", "virtio", None)
    assert nic.address == IPv4Interface("10.20.99.38/24")
    assert (nic.segment.name, nic.segment.vlan_id, nic.segment.gateway) == ("management", 99, IPv4Address("10.20.99.1"))
    assert str(guest.declared).endswith("dvntm/host_vars/jump-vm01.yml:22")
    assert str(nic.declared).endswith("dvntm/host_vars/jump-vm01.yml:6")
    with pytest.raises(KeyError):
        contract_of("dvntm").guest("nobody-vm01")


@pytest.mark.parametrize("site", ["dvnt", "dvntm", "lab"])
def test_every_guest_of_a_shipped_site_has_services_it_is_asked_for(site: str) -> None:
    guests = contract_of(site).guests
    assert [guest.name for guest in guests if not guest.services] == []
    assert [one.unit for guest in guests for one in guest.services if not one.listens] == []


def test_a_workload_speaks_of_each_guest_that_carries_it() -> None:
    (service,) = contract_of("dvntm").guest("metrics-vm01").services
    assert service.health_url == "http://metrics-vm01.dvntm.deevnet.net:9090/-/healthy"
    assert service.said.startswith("prometheus.service (assumed: the documents say time-series data")
    assert str(service.declared).endswith("dvntm/group_vars/all/workloads.yml:7")
    (logs,) = contract_of("dvntm").guest("logs-vm01").services
    assert logs.listens == {"tcp 514", "udp 514"}


def test_what_a_guest_says_of_a_unit_itself_has_precedence(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "lab", tmp_path / "lab")
    host = tmp_path / "lab/host_vars/metrics-vm01.yml"
    own = "  services: [{unit: prometheus-node-exporter.service, ports: [9101]}, {unit: cron.service}]\n"
    host.write_text(host.read_text() + own)
    guest = resolve(inventory.load(tmp_path, "lab"), state_dir=STATE).guest("metrics-vm01")
    assert [(one.unit, one.ports) for one in guest.services] == [
        ("prometheus-node-exporter.service", (9101,)),
        ("cron.service", ()),
    ]
    assert str(guest.services[0].declared).endswith("lab/host_vars/metrics-vm01.yml:32")


def test_the_hypervisor_of_dvntm_is_the_documented_machine() -> None:
    hypervisor = contract_of("dvntm").hypervisor
    assert (hypervisor.pve_version, hypervisor.debian_release, hypervisor.debian_codename) == (
        "8.4.1",
        "12",
        "bookworm",
    )
    hardware = hypervisor.hardware
    assert (hardware.pending, hardware.memory_mib, hardware.disk_gb) == (None, 32768, 1000)
    assert (hardware.product, hardware.cpu_model, hardware.nic_model) == ("OptiPlex 7050", "i7-6700T", "I219-LM")
    assert (hardware.cores, hardware.threads, hardware.nic_speed_mbit) == (4, 8, 1000)
    assert hypervisor.address == IPv4Address("10.20.99.21")
    template = hypervisor.templates["fedora-server-43"]
    assert (template.name, template.vmid, template.user) == ("fedora-server-43-1.6", None, "a_autoprov")
    assert hypervisor.api.ca_file is None
    mark = hypervisor.api.fingerprint
    assert isinstance(mark, SecretRef)
    assert mark.value == str(Path("~/.config/mgmt-harness/dvntm/fingerprint").expanduser())
    assert {purpose: token.id for purpose, token in hypervisor.api.tokens.items()} == {
        "verify": "verify@pve!harness",
        "provision": "provision@pve!harness",
    }


def test_the_home_site_is_pending_with_its_reason() -> None:
    contract = contract_of("dvnt")
    assert contract.status == "pending"
    assert "not selected" in (contract.hypervisor.hardware.pending or "")
    assert contract.hypervisor.hardware.product is None
    assert contract.router.kind is None
    assert contract.router.dns == contract.router.address == IPv4Address("10.10.99.1")


def test_reservations_are_what_the_inventory_reserves() -> None:
    """The tenant's MAC is not known, and the router does not serve itself."""
    contract = contract_of("dvntm")
    assert {one.name for one in contract.reservations} == {"hv01", *(guest.name for guest in contract.guests)}
    assert contract.reservations[0] == Reservation(
        inventory.load(SHIPPED, "dvntm").hosts["hv01"].claims[0].mac, IPv4Address("10.20.99.21"), "hv01"
    )
    for guest in contract.guests:
        assert Reservation(guest.nic.mac, guest.nic.address.ip, guest.name) in contract.reservations


def test_records_are_fully_qualified() -> None:
    records = contract_of("lab").records
    assert Record("A", "metrics-vm01.lab.deevnet.net", "198.18.99.30") in records
    assert Record("CNAME", "metrics.lab.deevnet.net", "metrics-vm01.lab.deevnet.net") in records
    assert Record("CNAME", "pve.lab.deevnet.net", "hv01.lab.deevnet.net") in records
    names = [record.name for record in records]
    assert len(names) == len(set(names)) == 13 + 15


def test_the_lab_waives_visibly_what_namespaces_cannot_be() -> None:
    contract = contract_of("lab")
    assert {waiver.clause for waiver in contract.waivers} == {
        "hardware.memory",
        "hardware.disk",
        "hardware.nic",
        "hardware.model",
        "platform.virtualization",
        "template.fedora",
    }
    assert all(waiver.reason and str(waiver.until) == "2027-02-15" for waiver in contract.waivers)
    declared = contract.waivers[0].declared
    assert "clause: hardware.memory" in declared.file.read_text().splitlines()[declared.line - 1]
    assert contract_of("dvntm").waivers == ()


def test_the_parts_around_the_hypervisor() -> None:
    contract = contract_of("lab")
    assert (contract.router.name, contract.router.kind) == ("core-rt01", "dnsmasq")
    assert (contract.router.dns, contract.router.dns_port) == (IPv4Address("198.18.99.1"), 53)
    assert (contract.tenant_hypervisor, contract.tenant_address) == ("hv02", IPv4Address("198.18.99.22"))
    assert contract.segments["management"].subnet == IPv4Network("198.18.99.0/24")
    assert contract.segments["management"].pool is None
    assert contract_of("dvntm").segments["iot"].pool == (IPv4Address("10.20.30.100"), IPv4Address("10.20.30.200"))
    assert "blackhole" not in contract_of("dvntm").segments


def test_pinned_keys_come_before_learned_ones() -> None:
    assert contract_of("lab").known_hosts == (Path("/var/lib/mgmt-lab/secrets/ssh/known_hosts"), STATE / "known_hosts")
    assert contract_of("dvntm").known_hosts[0] == (SHIPPED / "dvntm/known_hosts.txt").absolute()
    assert contract_of("dvntm").site_folder == SHIPPED / "dvntm"


@pytest.mark.parametrize(
    ("site", "typed"), [("lab", "./invoke bootstrap --check"), ("dvntm", "./invoke bootstrap --check --site dvntm")]
)
def test_a_command_is_told_as_it_is_typed_for_the_site(site: str, typed: str) -> None:
    """Copied from a sentence, it must not go to the site that is meant when none is said."""
    assert contract_of(site).invoke("bootstrap --check") == typed
