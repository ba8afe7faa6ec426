"""The hypervisor's Debian."""

from __future__ import annotations

import json
import re
import ssl
from hashlib import sha256

import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED, pvesh

testinfra_hosts = [f"ssh://{EXPECTED['hypervisor']}"]


# clause platform.pve-version: package_has_the_declared_version, package_is_held_there, api_says_the_declared_version
def test_package_has_the_declared_version(host: Host) -> None:
    assert host.package("pve-manager").version == EXPECTED["pve_version"]


# clause bootstrap.post-config: pve_manager_is_on_hold
def test_package_is_held(host: Host) -> None:
    assert "pve-manager" in host.check_output("apt-mark showhold").split()


def test_api_says_the_declared_version(host: Host) -> None:
    assert pvesh(host, "/version")["version"] == EXPECTED["pve_version"]


# clause platform.debian: runs_the_declared_debian, runs_on_the_declared_architecture
def test_runs_the_declared_debian(host: Host) -> None:
    seen = host.system_info
    assert (seen.distribution, seen.codename) == ("debian", EXPECTED["debian_codename"])
    assert seen.release.split(".")[0] == EXPECTED["debian_release"]


def test_runs_on_the_declared_architecture(host: Host) -> None:
    assert host.system_info.arch == EXPECTED["architecture"]


# clause bootstrap.post-config: only_declared_repositories_are_on, apt_is_pinned_to_the_declared_version
def test_only_declared_repositories_are_on(host: Host) -> None:
    form = "$(TARGET_OF) $(REPO_URI) $(RELEASE) $(COMPONENT)"
    lines = host.check_output("apt-get indextargets --no-release-info --format %s", form).splitlines()
    seen = {line.replace("$(COMPONENT)", "").replace("/ ", " ", 1).rstrip() for line in lines}
    assert sorted(seen) == EXPECTED["repositories"]


def test_apt_is_pinned(host: Host) -> None:
    rows = re.findall(r"^ (?:\*\*\*|   ) (\S+) (-?\d+)$", host.check_output("apt-cache policy pve-manager"), re.M)
    assert {version for version, priority in rows if int(priority) >= 1000} == {EXPECTED["pve_version"]}


# clause bootstrap.post-config: asks_the_declared_time_servers, clock_follows_one_of_them
@pytest.fixture(scope="module")
def clock_sources(host: Host) -> list[list[str]]:
    return [line.split(",") for line in host.check_output("chronyc -c -N sources").splitlines()]


def test_asks_the_declared_time_servers(clock_sources: list[list[str]]) -> None:
    assert sorted(row[2] for row in clock_sources) == sorted(EXPECTED["time_servers"])


def test_clock_follows_one_of_them(clock_sources: list[list[str]]) -> None:
    assert "*" in [row[1] for row in clock_sources]


# clause bootstrap.post-config: ssh_takes_keys_only, ssh_lets_root_in_by_key_alone
@pytest.fixture(scope="module")
def sshd(host: Host) -> list[str]:
    said: str = host.check_output("sshd -T -C user=root,host=localhost,addr=127.0.0.1")
    return said.splitlines()


@pytest.mark.parametrize(
    "said", ["passwordauthentication no", "pubkeyauthentication yes", "kbdinteractiveauthentication no"]
)
def test_ssh_takes_keys_only(sshd: list[str], said: str) -> None:
    assert said in sshd


def test_ssh_lets_root_in_by_key_alone(sshd: list[str]) -> None:
    assert {"permitrootlogin without-password", "permitrootlogin prohibit-password"} & set(sshd)


# clause bootstrap.post-config: nested_virtualization_is_asked_for_where_declared
def test_nested_virtualization_is_asked_for_where_declared(host: Host) -> None:
    lines = host.run("cat /etc/modprobe.d/*.conf /usr/lib/modprobe.d/*.conf").stdout
    asked = re.search(r"^\s*options\s+kvm[-_](intel|amd)\s.*\bnested=[1Yy]", lines, re.M)
    assert bool(asked) is EXPECTED["nested"]


# clause bootstrap.post-config: nested_virtualization_works_where_declared
def test_nested_virtualization_works_where_declared(host: Host) -> None:
    runs = host.run("cat /sys/module/kvm_intel/parameters/nested /sys/module/kvm_amd/parameters/nested").stdout
    assert set(runs.split()) & {"1", "Y", "y"} or not EXPECTED["nested"]


# clause standalone.no-cluster: host_has_no_corosync_configuration, corosync_does_not_run
@pytest.mark.parametrize("path", ["/etc/pve/corosync.conf", "/etc/corosync/corosync.conf"])
def test_has_no_corosync_configuration(host: Host, path: str) -> None:
    assert host.file("/etc/pve/nodes").is_directory
    assert not host.file(path).exists


def test_corosync_does_not_run(host: Host) -> None:
    assert host.check_output("systemctl show -p ActiveState --value corosync.service") == "inactive"


# clause standalone.own-web-ui: answers_with_the_pinned_certificate
def test_answers_with_the_pinned_certificate() -> None:
    web = EXPECTED["web"]
    certificate = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((web["host"], web["port"])))
    assert sha256(certificate).hexdigest() == EXPECTED["fingerprint"].replace(":", "").lower()


# clause storage.local-only: no_network_file_system_is_mounted
def test_mounts_no_network_file_system(host: Host) -> None:
    kinds = {line.split()[2] for line in host.file("/proc/mounts").content_string.splitlines()}
    assert not kinds & set(EXPECTED["network_file_systems"])


# clause network.bridge: bridge_has_its_port, bridge_is_up
@pytest.mark.parametrize("bridge", EXPECTED["bridges"])
def test_bridge_has_its_port(host: Host, bridge: str) -> None:
    ports = host.file(f"/sys/class/net/{bridge}/brif").listdir()
    assert EXPECTED["bridges"][bridge] in ports
    assert [port for port in ports if not re.match(r"(tap|veth|fwpr)\d", port)] == [EXPECTED["bridges"][bridge]]


@pytest.mark.parametrize("bridge", EXPECTED["bridges"])
def test_bridge_is_up(host: Host, bridge: str) -> None:
    assert host.file(f"/sys/class/net/{bridge}/operstate").content_string.strip() == "up"


# clause network.core-router: answers_dhcp_alone
@pytest.fixture(scope="module", params=EXPECTED["dhcp_questions"])
def dhcp_servers(host: Host, request: pytest.FixtureRequest) -> list[str]:
    """Who answers on that bridge; one that does so from two MACs is two."""
    heard = json.loads(host.check_output(EXPECTED["dhcp_questions"][request.param]))
    return [
        address for address, _ in {(one["server"], one["source_mac"]) for one in heard["offers"] + heard["servers"]}
    ]


def test_answers_dhcp_alone(dhcp_servers: list[str]) -> None:
    assert dhcp_servers == [EXPECTED["dhcp_server"]]


# clause identity.no-strangers: knows_every_mac_on_the_segment
@pytest.mark.parametrize("bridge", sorted({vm["bridge"] for vm in EXPECTED["guests"]}))
def test_knows_every_mac_on_the_segment(host: Host, bridge: str) -> None:
    assert host.addr(EXPECTED["router"]["address"]).is_reachable  # so that the node knows whose MAC the router's is
    heard = json.loads(host.check_output("bridge -j fdb show br %s", bridge))
    learned = {one["mac"] for one in heard if one.get("state") not in ("permanent", "static")}
    neighbours = json.loads(host.check_output("ip -j -4 neigh show"))
    declared = {one.get("lladdr") for one in neighbours if one["dst"] in EXPECTED["declared_addresses"]}
    assert learned - declared <= set(EXPECTED["known_macs"])
