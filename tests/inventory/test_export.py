"""What is exported for other tools holds the contract's reservations and records, and real tools read it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import inventory
from harness.commands.exporting import export
from harness.contract import Contract, Record
from harness.inventory.exporting import export_ansible, export_hosts, export_kea
from harness.lab.router.vyos_commit import check as check_commit
from harness.lab.router.vyos_tree import Release, Tree, as_json, find, require_valid, set_path
from harness.routers.dnsmasq_files import parse_hosts_line
from harness.routers.vyos_config import DHCP, NAMES, ZONES, parse_config, records_of, reservations_of
from tests.inventory.test_ansible_agrees import from_ansible
from tests.inventory.trees import SHIPPED

SITES = inventory.sites(SHIPPED)


def contract(site: str) -> Contract:
    return inventory.resolve(inventory.load(SHIPPED, site), state_dir=Path("/state"))


@pytest.mark.parametrize("site", SITES)
def test_hosts_lines_name_every_address_and_alias(site: str) -> None:
    wanted = contract(site)
    lines = export_hosts(wanted).splitlines()
    named = {(record.name, record.target) for line in lines for record in parse_hosts_line(line)}
    addresses = {record.name: record.target for record in wanted.records if record.type == "A"}
    aliases = {(one.name, addresses[one.target]) for one in wanted.records if one.type == "CNAME"}
    assert named == set(addresses.items()) | aliases
    assert all(line.split()[1].endswith(wanted.domain) for line in lines), "the full name comes first: it is the PTR"


@pytest.mark.parametrize("site", SITES)
def test_kea_gets_each_reservation_in_its_subnet(site: str) -> None:
    wanted = contract(site)
    held = {
        (one["hw-address"], one["ip-address"], one["hostname"])
        for subnet in export_kea(wanted)["Dhcp4"]["subnet4"]
        for one in subnet["reservations"]
    }
    assert held == {(one.mac, str(one.address), one.name) for one in wanted.reservations}


@pytest.mark.parametrize("site", SITES)
def test_a_real_kea_accepts_it(site: str, tmp_path: Path) -> None:
    kea = shutil.which("kea-dhcp4", path="/usr/sbin:/usr/bin")
    if kea is None:
        pytest.skip("needs the package kea-dhcp4-server")
    file = tmp_path / "kea.json"
    file.write_text(json.dumps(export_kea(contract(site))))
    ended = subprocess.run([kea, "-t", file], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_ansible_reads_it_as_an_inventory_script(tmp_path: Path) -> None:
    found = inventory.load(SHIPPED, "lab")
    exported = export_ansible(contract("lab"), found.hosts, inventory.variables(SHIPPED, "lab"))
    (tmp_path / "site.json").write_text(json.dumps(exported))
    script = tmp_path / "site.sh"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/site.json\n")
    script.chmod(0o755)
    read = from_ansible(script, tmp_path)
    hosts = read["_meta"]["hostvars"]
    assert set(hosts) == set(found.hosts)
    assert hosts["metrics-vm01"]["ansible_host"] == "198.18.99.30"
    assert "metrics-vm01" in read["management_vms"]["hosts"]
    assert gather_reservations(hosts) == reservations(contract("lab"))


# --- as the owner's own router roles read it -------------------------------------------------------------------------


def gather_reservations(hostvars: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """(host, MAC, address) of each host's first interface that asks for a reservation and whose MAC is known."""
    return {found for host, said in hostvars.items() if (found := _first_reserved(host, said)) is not None}


def _first_reserved(host: str, said: Mapping[str, Any]) -> tuple[str, str, str] | None:
    hardware = said.get("infrastructure", {}).get("interfaces", {})
    for key, interface in said.get("env", {}).get("interfaces", {}).items():
        if interface.get("dns", {}).get("dhcp_reservation") is not True or key not in hardware:
            continue
        mac, address = hardware[key].get("mac", ""), interface.get("ip")
        if mac.upper() not in ("UNKNOWN", "") and address not in (None, "", "dhcp"):
            return host, mac.upper(), address
    return None


def gather_records(hostvars: Mapping[str, Any], domain: str) -> Iterator[Record]:
    """A, and an alias for each cname, of each host's first interface that asks for a name."""
    for host, said in hostvars.items():
        for interface in said.get("env", {}).get("interfaces", {}).values():
            names = interface.get("dns", {})
            if names.get("host_a_record") is True and interface.get("ip") not in (None, "", "dhcp"):
                yield Record("A", f"{host}.{domain}", interface["ip"])
                yield from (Record("CNAME", f"{one}.{domain}", f"{host}.{domain}") for one in names.get("cnames", []))
                break


def reservations(wanted: Contract) -> set[tuple[str, str, str]]:
    return {(one.name, one.mac.upper(), str(one.address)) for one in wanted.reservations}


@pytest.mark.parametrize("site", SITES)
def test_router_roles_find_the_same_in_the_inventory_as_it_is(site: str, tmp_path: Path) -> None:
    """Unchanged: through ansible-inventory, from the keys that those roles look for."""
    hostvars = from_ansible(SHIPPED / site, tmp_path)["_meta"]["hostvars"]
    wanted = contract(site)
    assert gather_reservations(hostvars) == reservations(wanted)
    assert set(gather_records(hostvars, wanted.domain)) == set(wanted.records)
    assert len(wanted.reservations) >= 5


@pytest.mark.parametrize("release", ["1.4", "1.5"])
@pytest.mark.parametrize("site", SITES)
def test_vyos_commits_its_commands_and_then_holds_everything(
    site: str, release: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = contract(site)
    assert export(SHIPPED, site, "vyos") == 0
    sections = re.split(r"^# --- VyOS (.*)\n", capsys.readouterr().out, flags=re.M)[1:]
    assert sections[::2] == ["1.4", "1.5"], "which of them it is, the inventory does not say"
    tree: Tree = {}
    for line in sections[sections.index(release) + 1].splitlines():
        verb, *path = line.split()
        assert verb == "set"
        require_valid(path, release)
        set_path(tree, path)
    check_commit(tree, release)
    config = parse_config(*(as_json(find(tree, path) or {}) for path in (DHCP, NAMES, ZONES)))
    assert set(reservations_of(config)) == set(wanted.reservations)
    assert set(records_of(config)) == set(wanted.records)


def test_a_target_nobody_knows_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert export(SHIPPED, "lab", "bind") == 2
    assert "Choose one of ansible, kea, hosts, dnsmasq, opnsense, vyos" in " ".join(capsys.readouterr().err.split())
