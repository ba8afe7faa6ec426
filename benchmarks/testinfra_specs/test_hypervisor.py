"""The hypervisor: its Debian, and its API by pvesh."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED, pvesh

testinfra_hosts = [f"ssh://{EXPECTED['node']}"]
Values = dict[str, Any]
NODE = f"/nodes/{EXPECTED['node']}"
GUESTS = pytest.mark.parametrize("vm", EXPECTED["guests"], ids=lambda vm: vm["name"])


@pytest.fixture(scope="module")
def configs(host: Host) -> dict[int, Values]:
    """Each VM's configuration, read once."""
    vmids = [*(vm["vmid"] for vm in EXPECTED["guests"]), *EXPECTED["templates"]]
    return {vmid: pvesh(host, f"{NODE}/qemu/{vmid}/config") for vmid in vmids}


# clause platform.pve-version
def test_package_has_the_declared_version(host: Host) -> None:
    assert host.package("pve-manager").version == EXPECTED["pve_version"]


def test_package_is_held(host: Host) -> None:
    assert "pve-manager" in host.check_output("apt-mark showhold").split()


def test_api_says_the_declared_version(host: Host) -> None:
    assert pvesh(host, "/version")["version"] == EXPECTED["pve_version"]


# clause platform.debian
def test_runs_the_declared_debian(host: Host) -> None:
    assert (host.system_info.distribution, host.system_info.codename) == ("debian", EXPECTED["debian_codename"])


def test_runs_on_the_declared_architecture(host: Host) -> None:
    assert host.system_info.arch == EXPECTED["architecture"]


# clause bootstrap.post-config
@pytest.mark.parametrize("said", ["passwordauthentication no", "pubkeyauthentication yes"])
def test_ssh_takes_keys_only(host: Host, said: str) -> None:
    assert said in host.check_output("sshd -T")


def test_apt_is_pinned(host: Host) -> None:
    assert f"{EXPECTED['pve_version']} 1001" in host.check_output("apt-cache policy pve-manager")


@pytest.mark.parametrize("server", EXPECTED["time_servers"])
def test_asks_the_declared_time_server(host: Host, server: str) -> None:
    assert server in host.check_output("chronyc -c -N sources")


@pytest.mark.parametrize("role", EXPECTED["pve_roles"])
def test_has_the_role(host: Host, role: str) -> None:
    assert role in [one["roleid"] for one in pvesh(host, "/access/roles")]


@pytest.mark.parametrize("user", EXPECTED["pve_users"])
def test_has_the_user_and_its_grants(host: Host, user: str) -> None:
    assert user in [one["userid"] for one in pvesh(host, "/access/users")]
    assert user in [one["ugid"] for one in pvesh(host, "/access/acl")]


def test_has_the_pool(host: Host) -> None:
    assert EXPECTED["pool"] in [one["poolid"] for one in pvesh(host, "/pools")]


@pytest.mark.parametrize("name", EXPECTED["storages"])
def test_storage_holds_what_is_declared(host: Host, name: str) -> None:
    found = next(one for one in pvesh(host, f"{NODE}/storage") if one["storage"] == name)
    assert sorted(found["content"].split(",")) == EXPECTED["storages"][name]


# clause standalone.no-cluster
def test_is_in_no_cluster(host: Host) -> None:
    assert [one["type"] for one in pvesh(host, "/cluster/status")] == ["node"]


def test_has_no_corosync_configuration(host: Host) -> None:
    assert not host.file("/etc/pve/corosync.conf").exists
    assert not host.file("/etc/corosync/corosync.conf").exists


def test_corosync_does_not_run(host: Host) -> None:
    assert host.check_output("systemctl show -p ActiveState --value corosync.service") == "inactive"


# clause standalone.no-ha
@pytest.mark.parametrize("kind", ["resources", "groups"])
def test_has_no_high_availability(host: Host, kind: str) -> None:
    assert pvesh(host, f"/cluster/ha/{kind}") == []


# clause standalone.no-replication
def test_replicates_nothing(host: Host) -> None:
    assert pvesh(host, "/cluster/replication") == []


# clause standalone.own-web-ui
def test_answers_with_its_own_web_interface(host: Host) -> None:
    assert host.socket("tcp://8006").is_listening


# clause storage.local-only
def test_storages_are_local(host: Host) -> None:
    assert not any(int(one.get("shared", 0)) for one in pvesh(host, f"{NODE}/storage"))


def test_mounts_no_network_file_system(host: Host) -> None:
    kinds = {line.split()[2] for line in host.file("/proc/mounts").content_string.splitlines()}
    assert not kinds & {"nfs", "nfs4", "cifs", "ceph", "glusterfs"}


# clause template.fedora
@pytest.mark.parametrize("vmid", EXPECTED["templates"])
def test_template_is_ready(configs: dict[int, Values], vmid: int) -> None:
    config = configs[vmid]
    assert str(config["template"]) == "1"
    assert str(config["agent"]).startswith("1")
    assert config["net0"].startswith("virtio=")
    assert config["scsi0"].startswith("local-lvm:")


# clause provision.from-template
@GUESTS
def test_notes_name_the_template(configs: dict[int, Values], vm: Values) -> None:
    assert vm["notes"] in configs[vm["vmid"]]["description"]


# clause identity.mac-applied
@GUESTS
def test_is_configured_with_its_mac(configs: dict[int, Values], vm: Values) -> None:
    assert vm["mac"].upper() in configs[vm["vmid"]]["net0"].upper()


@GUESTS
def test_no_nic_waits_for_a_restart(host: Host, vm: Values) -> None:
    assert not [one for one in pvesh(host, f"{NODE}/qemu/{vm['vmid']}/pending") if "pending" in one]


# clause identity.no-strangers
def test_knows_every_vm(host: Host) -> None:
    there = {int(one["vmid"]) for one in pvesh(host, f"{NODE}/qemu")}
    assert there == {*(vm["vmid"] for vm in EXPECTED["guests"]), *EXPECTED["templates"]}
    assert pvesh(host, f"{NODE}/lxc") == []


# clause network.bridge
@GUESTS
def test_is_on_its_bridge(configs: dict[int, Values], vm: Values) -> None:
    assert f"bridge={vm['bridge']}" in configs[vm["vmid"]]["net0"]


@pytest.mark.parametrize("bridge", EXPECTED["bridges"])
def test_bridge_is_up_with_its_port(host: Host, bridge: str) -> None:
    assert host.interface(bridge).exists
    assert host.file(f"/sys/class/net/{bridge}/brif/{EXPECTED['bridges'][bridge]}").exists
    assert host.file(f"/sys/class/net/{bridge}/operstate").content_string.strip() == "up"


# clause separation.category
@GUESTS
def test_is_tagged_with_its_category(configs: dict[int, Values], vm: Values) -> None:
    assert sorted(configs[vm["vmid"]]["tags"].split(";")) == vm["tags"]


# clause recovery.autostart
@GUESTS
def test_starts_in_its_turn(configs: dict[int, Values], vm: Values) -> None:
    assert str(configs[vm["vmid"]]["onboot"]) == "1"
    assert configs[vm["vmid"]]["startup"] == vm["startup"]


# clause recovery.protected
@GUESTS
def test_is_protected(configs: dict[int, Values], vm: Values) -> None:
    assert str(configs[vm["vmid"]]["protection"]) == "1"


# clause backup.scheduled
def test_every_vm_is_in_the_backup_job(host: Host) -> None:
    volumes = pvesh(host, f"/cluster/backup/{EXPECTED['backup_job']}/included_volumes")
    assert {vm["vmid"] for vm in EXPECTED["guests"]} <= {int(one["id"]) for one in volumes["children"]}


# clause backup.recent
@GUESTS
def test_has_a_backup(host: Host, vm: Values) -> None:
    path = f"{NODE}/storage/{EXPECTED['backup_storage']}/content --content backup --vmid {vm['vmid']}"
    assert pvesh(host, path)
