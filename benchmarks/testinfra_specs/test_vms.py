"""The VMs as the hypervisor has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from itertools import groupby
from typing import Any

import pytest

from benchmarks.testinfra_specs.promised import EXPECTED, GUESTS, NODE, TEMPLATES, Values, waived

testinfra_hosts = [f"ssh://{EXPECTED['hypervisor']}"]
Api = Callable[[str], Any]
Configs = dict[int, Values]
DISK = re.compile(r"(ide|sata|scsi|virtio)\d+")
CLOUD_INIT = re.compile(r"ciuser|cipassword|cicustom|citype|ciupgrade|sshkeys|nameserver|searchdomain")


@pytest.fixture(scope="module")
def configs(api: Api) -> Configs:
    """The configuration of each VM, read once."""
    return {one["vmid"]: api(f"{NODE}/qemu/{one['vmid']}/config") for one in api(f"{NODE}/qemu")}


def nics(config: Values) -> dict[str, dict[str, str]]:
    """`virtio=02:…,bridge=vmbr0` as a mapping, for each NIC; the model's name becomes `model`."""
    found = {}
    for key, value in config.items():
        if re.fullmatch(r"net\d+", key):
            (model, mac), *rest = [part.split("=", 1) for part in value.split(",")]
            found[key] = {"model": model, "mac": mac.lower(), **dict(rest)}
    return found


def disks(config: Values) -> dict[str, str]:
    return {key: value for key, value in config.items() if DISK.fullmatch(key) and not value.startswith("none")}


# clause template.fedora: is_fedora, is_a_template, lies_on_its_local_storage, has_the_guest_agent_on
@TEMPLATES
@waived("template.fedora")
def test_template_is_fedora(configs: Configs, template: Values) -> None:
    assert template["os"] == "fedora"
    assert "fedora" in configs[template["vmid"]]["name"]


@TEMPLATES
def test_template_is_one(configs: Configs, template: Values) -> None:
    assert configs[template["vmid"]]["name"] == template["name"]
    assert int(configs[template["vmid"]]["template"]) == 1


@TEMPLATES
def test_template_lies_on_its_local_storage(configs: Configs, api: Api, template: Values) -> None:
    storages = {volume.partition(":")[0] for volume in disks(configs[template["vmid"]]).values()}
    types = {one["storage"]: one["type"] for one in api(f"{NODE}/storage")}
    assert storages == {template["storage"]}
    assert types[template["storage"]] in EXPECTED["local_types"]


@TEMPLATES
def test_template_has_the_guest_agent_on(configs: Configs, template: Values) -> None:
    assert re.match(r"(enabled=)?1", str(configs[template["vmid"]]["agent"]))


# clause template.fedora: has_a_virtio_nic, has_a_virtio_disk, carries_the_build_mark, relies_on_no_cloud_init
@TEMPLATES
def test_template_has_a_virtio_nic(configs: Configs, template: Values) -> None:
    assert {nic["model"] for nic in nics(configs[template["vmid"]]).values()} == {"virtio"}


@TEMPLATES
def test_template_has_a_virtio_disk(configs: Configs, template: Values) -> None:
    config = configs[template["vmid"]]
    behind = "virtio|scsi" if config.get("scsihw", "").startswith("virtio-scsi") else "virtio"
    assert [slot for slot in disks(config) if re.match(behind, slot)]


@TEMPLATES
def test_template_carries_the_build_mark(configs: Configs, template: Values) -> None:
    assert template["build_mark"] in configs[template["vmid"]]["description"]


@GUESTS
def test_relies_on_no_cloud_init(configs: Configs, vm: Values) -> None:
    config = configs[vm["vmid"]]
    assert not [key for key in config if CLOUD_INIT.fullmatch(key)]
    assert not [volume for volume in disks(config).values() if "cloudinit" in volume]


# clause provision.from-template: notes_name_a_declared_template, notes_name_the_build, notes_are_its_own
@GUESTS
@pytest.mark.parametrize("what", ["template", "build", "own"])
def test_notes_name_where_it_is_from(configs: Configs, vm: Values, what: str) -> None:
    assert f" {vm['origin'][what]} " in configs[vm["vmid"]]["description"]


# clause provision.repeatable: would_change_nothing
@GUESTS
def test_is_there_and_not_half_made(configs: Configs, vm: Values) -> None:
    config = configs[vm["vmid"]]
    assert config["name"] == vm["name"]
    assert "lock" not in config
    assert vm["unfinished"] not in config["description"].splitlines()


# clause provision.no-terraform: nothing_bears_a_mark_of_terraform
def test_nothing_bears_a_mark_of_terraform(configs: Configs, api: Api) -> None:
    said = [f"{one.get('tags', '')} {one.get('description', '')}" for one in configs.values()]
    said += [one.get("comment", "") for one in api("/pools")]
    assert not [text for text in said if re.search(r"\b(terraform|opentofu|tofu)\b", text, re.I)]


# clause identity.mac-applied: is_configured_with_its_mac, no_other_nic_waits_for_a_restart
@GUESTS
def test_is_configured_with_its_mac(configs: Configs, vm: Values) -> None:
    assert {slot: nic["mac"] for slot, nic in nics(configs[vm["vmid"]]).items()} == {vm["slot"]: vm["mac"]}


@GUESTS
def test_no_nic_waits_for_a_restart(api: Api, vm: Values) -> None:
    rows = [one for one in api(f"{NODE}/qemu/{vm['vmid']}/pending") if re.fullmatch(r"net\d+", one["key"])]
    assert not [one for one in rows if "pending" in one or "delete" in one]


# clause identity.no-strangers: knows_every_vm_here, exceptions_have_not_ended
def test_knows_every_vm_here(configs: Configs, api: Api) -> None:
    there = {(vmid, one.get("name")) for vmid, one in configs.items() if vmid not in excepted()}
    declared = [*EXPECTED["guests"], *EXPECTED["templates"]]
    assert there <= {(one["vmid"], one["name"]) for one in declared}
    assert {one["vmid"] for one in api(f"{NODE}/lxc")} <= excepted()


def test_exceptions_have_not_ended(configs: Configs) -> None:
    assert not {one["vmid"] for one in EXPECTED["exceptions"]} & set(configs) - excepted()


def excepted() -> set[int]:
    return {one["vmid"] for one in EXPECTED["exceptions"] if one["until"] >= date.today().isoformat()}


# clause network.address: configuration_fixes_no_address
@GUESTS
def test_configuration_fixes_no_address(configs: Configs, vm: Values) -> None:
    config = configs[vm["vmid"]]
    assert not [key for key in config if re.fullmatch(r"ipconfig\d+", key) and "dhcp" not in config[key]]


# clause network.core-router: core_router_is_no_vm_here
def test_core_router_is_no_vm_here(configs: Configs) -> None:
    name = EXPECTED["router"]["name"]
    assert not {name, f"{name}.{EXPECTED['domain']}"} & {one.get("name") for one in configs.values()}


# clause network.bridge: is_on_its_bridge
@GUESTS
def test_is_on_its_bridge(configs: Configs, vm: Values) -> None:
    seen = {(nic["bridge"], nic.get("tag")) for nic in nics(configs[vm["vmid"]]).values()}
    assert seen == {(vm["bridge"], vm["vlan_tag"] and str(vm["vlan_tag"]))}


# clause separation.category: is_tagged_with_that_category_alone
@GUESTS
def test_is_tagged_with_its_category_alone(configs: Configs, vm: Values) -> None:
    tags = set(configs[vm["vmid"]]["tags"].split(";"))
    assert tags & set(EXPECTED["categories"]) == {vm["category"]}


# clause separation.no-tenants: hypervisor_bears_no_tenant
def test_hypervisor_bears_no_tenant(configs: Configs, api: Api) -> None:
    said = [one.get("tags", "") for one in configs.values()]
    said += [one["poolid"].replace("_", " ") for one in api("/pools")]
    assert not [text for text in said if re.search(r"\btenants?\b", text, re.I)]


# clause recovery.autostart: starts_with_the_hypervisor, starts_at_its_place, all_start_in_their_declared_turns
@GUESTS
def test_starts_with_the_hypervisor(configs: Configs, vm: Values) -> None:
    assert int(configs[vm["vmid"]]["onboot"]) == 1


@GUESTS
def test_starts_at_its_place(configs: Configs, vm: Values) -> None:
    assert configs[vm["vmid"]]["startup"] == vm["startup"]


def test_all_start_in_their_declared_turns(configs: Configs) -> None:
    started = [configs[vm["vmid"]] for vm in EXPECTED["guests"] if int(configs[vm["vmid"]].get("onboot", 0))]
    orders = sorted((int(re.findall(r"order=(\d+)", one["startup"])[0]), one["name"]) for one in started)
    assert [[name for _, name in turn] for _, turn in groupby(orders, lambda one: one[0])] == EXPECTED["turns"]


# clause recovery.protected: is_protected
@GUESTS
def test_is_protected(configs: Configs, vm: Values) -> None:
    assert int(configs[vm["vmid"]]["protection"]) == 1
