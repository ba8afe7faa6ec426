"""A live hypervisor becomes an inventory: what is known is written, what is not is a gap, what is wrong is marked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness import inventory as inventories
from harness.contract import Api, ApiToken, Contract, SecretRef
from harness.identity import Namespace
from harness.importing import Found, Known, import_site, known_site, new_site
from harness.importing.contradictions import of_mac
from harness.inventory import load, resolve
from tests.importing import values
from tests.importing.printed import documents, fill, merge, put
from tests.importing.values import CLUSTERED, FOUND, FULL
from tests.inventory.trees import copy_shipped

GOLDEN = Path(__file__).parent / "golden"
URL = "https://10.20.99.21:8006"
API = Api(
    URL, None, ":".join(["AB"] * 32), {"verify": ApiToken("verify@pve!harness", SecretRef("file", "/secrets/verify"))}
)
NAMESPACE = Namespace("02:de", "20", {"observability": "01", "access": "03"}, {"metrics": "01", "jump": "09"})
ANSWERS = {
    "environment": '"20"',  # as in the MAC of the VM that is there
    "kind": "opnsense",
    "user": "a_autoprov",
    "speed_mbit": "1000",
    "role": "metrics",
    "group": "metrics",
    "responsibilities": "[metrics]",
    "ip": "10.20.99.30",
    "template": "fedora-server-43-1.6",
}


def new(folder: Path, found: Found = FOUND, site: str = "dvnew") -> str:
    others = inventories.survey(folder, "dvntm") if (folder / "dvntm").exists() else []
    return import_site(found, new_site(folder, site, API, others), URL).text


def known(folder: Path) -> Known:
    inventory = load(folder, "dvntm")
    return known_site(folder, inventory, contract_of(folder), [])


def contract_of(folder: Path, site: str = "dvntm") -> Contract:
    return resolve(load(folder, site), state_dir=folder / "state")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped site dvntm with a hypervisor of this test, and a router of which nobody knew the MAC."""
    copy_shipped(tmp_path / "inventory", "dvntm")
    shutil.copyfile(Path(__file__).parent / "hv01.yml", tmp_path / "inventory" / "dvntm" / "host_vars" / "hv01.yml")
    hosts = tmp_path / "inventory" / "dvntm" / "hosts.yml"
    entry = "                core-rt02: {}"
    hosts.write_text(hosts.read_text().replace(entry, f"{entry}\n{entry.replace('02', '01')}", 1))
    router = tmp_path / "inventory" / "dvntm" / "host_vars" / "core-rt01.yml"
    router.write_text("infrastructure:\n  form: rt\n  interfaces:\n    eth0:\n      mac: UNKNOWN\n")
    return tmp_path / "inventory"


def test_a_new_site_is_printed_whole(tmp_path: Path) -> None:
    copy_shipped(tmp_path / "inventory", "dvntm")
    assert new(tmp_path / "inventory", FULL) == (GOLDEN / "new.yml").read_text()


def test_of_a_known_site_the_declared_stands_and_what_differs_is_noted(folder: Path) -> None:
    assert import_site(FULL, known(folder), URL).text == (GOLDEN / "known.yml").read_text()


def test_a_new_site_loads_when_its_gaps_are_filled(tmp_path: Path) -> None:
    printed = documents(new(tmp_path / "inventory"))
    answers = {**ANSWERS, "groups": "{metrics: '01'}"}
    put(tmp_path / "inventory", {name: fill(text, answers) for name, text in printed.items()})
    problems = [one for one in inventories.check(tmp_path / "inventory") if one.severity == "error"]
    assert problems == []
    contract = contract_of(tmp_path / "inventory", "dvnew")
    assert (contract.domain, contract.hypervisor.node) == ("dvntm.deevnet.net", "hv01")
    assert contract.hypervisor.address == IPv4Address("10.20.99.21")
    assert contract.router.address == IPv4Address("10.20.99.1")
    metrics = contract.guest("metrics-vm01")
    assert (metrics.vmid, metrics.memory_mib, metrics.cores, metrics.start_order) == (2030, 4096, 2, 20)
    assert metrics.template in contract.hypervisor.templates


def test_a_site_with_gaps_does_not_load(tmp_path: Path) -> None:
    """A gap nobody filled is found by inventory.check, and is no value that something goes on with."""
    put(tmp_path / "inventory", documents(new(tmp_path / "inventory")))
    found = {one.path for one in inventories.check(tmp_path / "inventory") if one.severity == "error"}
    assert {"mgmt_mac_namespace.environment", "mgmt_router.kind", "mgmt_hypervisor.hardware.nic.speed_mbit"} <= found


def test_a_known_site_loads_with_what_was_printed(folder: Path) -> None:
    """The documents of declared hosts replace their files, the others are added; the stranger is left out."""
    found = replace(FULL, guests=tuple(vm for vm in FULL.guests if vm is not values.WEB))
    printed = documents(import_site(found, known(folder), URL).text)
    before = contract_of(folder)
    merge(folder / "dvntm/hosts.yml", printed.pop("dvntm/hosts.yml"))
    merge(folder / "dvntm/host_vars/core-rt01.yml", printed.pop("dvntm/host_vars/core-rt01.yml"))
    answers = {"ip": "10.20.99.40", "responsibilities": "[jump-host]", "template": "fedora-server-43"}
    put(folder, {name: fill(text, {**answers, "start_order": "11"}) for name, text in printed.items()})
    assert [one for one in inventories.check(folder) if one.severity == "error"] == []
    after = contract_of(folder)
    assert after.guest("jump-vm02").nic.mac == "02:de:20:03:09:02"
    assert after.guest("metrics-vm01").memory_mib == 4096
    assert {guest.name for guest in before.guests} | {"jump-vm02"} == {guest.name for guest in after.guests}
    hv = after.hypervisor
    assert replace(hv, declared=before.hypervisor.declared, templates={}) == replace(before.hypervisor, templates={})
    assert load(folder, "dvntm").hosts["core-rt01"].claims[0].mac == "bc:24:11:00:02:00"


def test_the_marks_are_counted(folder: Path) -> None:
    imported = import_site(FULL, known(folder), URL)
    assert imported.contradictions == imported.text.count("CONTRADICTS ") > 8
    assert imported.gaps == imported.text.count(": FILL_IN") > 3


def test_a_cluster_is_marked_with_each_promise_it_breaks(tmp_path: Path) -> None:
    text = new(tmp_path / "inventory", CLUSTERED)
    assert "# CONTRADICTS standalone.no-cluster: it is in the cluster office with hv01, hv09" in text
    assert "# CONTRADICTS standalone.no-ha: HA is configured (vm:100, prefer-hv01)" in text
    assert "# CONTRADICTS standalone.no-replication: jobs 100-0" in text


def test_another_series_is_marked(tmp_path: Path) -> None:
    found = replace(FOUND, node=replace(FOUND.node, pve_version="9.0.3"))
    text = new(tmp_path / "inventory", found)
    assert "# CONTRADICTS platform.pve-version: 9.0.3 is installed; this tool is for 8.4" in text
    assert "codename: trixie" in text


@pytest.mark.parametrize(
    ("mac", "words"),
    [
        ("02:de:20:01:01:01", None),
        ("bc:24:11:7e:fc:a0", "drawn at random by Proxmox VE"),
        ("00:16:3e:11:22:33", "outside the namespace of management VMs (02:de:…)"),
        (None, "it has no NIC"),
    ],
)
def test_a_mac_is_told_from_one_that_cannot_be_declared(mac: str | None, words: str | None) -> None:
    said = of_mac(mac, values.vm(101, "jump-vm02"), FOUND if mac is None else replace(FOUND, guests=()), NAMESPACE)
    assert said is None if words is None else words in str(said)


def test_a_mac_that_two_vms_have_is_marked() -> None:
    twin = values.vm(102, "logs-vm01", net0="virtio=02:DE:20:01:01:01,bridge=vmbr0")
    assert of_mac("02:de:20:01:01:01", twin, FOUND, NAMESPACE) == "02:de:20:01:01:01 is also the MAC of VM 2030"


def test_words_of_the_node_cannot_leave_their_comment(tmp_path: Path) -> None:
    """A note is one line, whatever PVE says; otherwise a cluster's name could add keys."""
    nasty = replace(CLUSTERED.cluster, cluster_name="office\nmgmt_site: {}")
    text = new(tmp_path / "inventory", replace(CLUSTERED, cluster=nasty))
    assert "office mgmt_site: {}" in text
    assert "\nmgmt_site: {}" not in text
