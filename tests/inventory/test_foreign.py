"""An inventory repository that describes more than the management plane loads; of the rest only identity is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import inventory
from harness.inventory import resolve
from tests.inventory.trees import copy_shipped, write

# Switches, access points, boards and a builder beside the management plane, as owners of a whole site write them.
MORE = {
    "hosts.yml": """
        all:
          children:
            network:
              children:
                switches: {hosts: {access-sw01: {}}}
                aps: {hosts: {ap01: {}}}
            boards:
              hosts:
                sensor-pi[01:03]: {}
            builder: {hosts: {provisioner-ph01: {}}}
            travel: {hosts: {edge-rt01: {}}}
            retired: {hosts: }
        """,
    "group_vars/switches/vars.yml": """
          # indented from its first line on, which is valid
          ansible_user: "{{ vault_switch_user }}"
          switch_profiles: {trunk: [{vlan: 10}, {vlan: 99}]}
        """,
    "group_vars/switches/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n33653230\n",
    "group_vars/boards.yml": """
        firmware_password: !vault |
          $ANSIBLE_VAULT;1.1;AES256
          3365
        greeting: !unsafe "{{ not a template }}"
        """,
    "host_vars/access-sw01.yml": """
        infrastructure:
          form: sw
          rack: {unit: 7}
          interfaces:
            eth0: {mac: "5c:62:8b:0c:40:ec", poe: true}
        env:
          interfaces:
            eth0: {ip: 10.20.99.10, segment: management, dns: {host_a_record: true, dhcp_reservation: true, cnames: []}}
        switch_ports: [{interface: "gigabitEthernet 1/0/1", native_vlan: 999}]
        """,
    "host_vars/ap01.yml": """
        infrastructure: {form: ap, interfaces: {eth0: {mac: "40:ed:00:6f:f9:d4"}}}
        env: {interfaces: {eth0: {ip: "{{ ap_address }}", ssids: [one, two]}}}
        """,
    "host_vars/edge-rt01.yml": """
        infrastructure:
          interfaces: {eth0: {mac: UNKNOWN}, eth1: {mac: UNKNOWN}, wifi: {mac: "5a:b6:4e:f4:d7:4b"}}
        env:
          role: edge
          interfaces:
            eth0: {ip: 192.168.8.1, segment: nowhere}
            eth1: {ip: 192.168.8.1}
            wifi: {ip: dhcp}
        """,
    "host_vars/provisioner-ph01.yml": """
        infrastructure: {interfaces: {eth0: {mac: "c8:ff:bf:06:5a:5a"}, wifi: {mac: ""}}}
        env:
          interfaces:
            eth0: {ip: 10.20.99.95, dns: {host_a_record: true, dhcp_reservation: true, cnames: [artifacts, gateway]}}
            wifi: {ip: null}
        network: {core: true}
        cores: "8"
        """,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """dvntm with more hosts in a second source, as Ansible allows; the shipped files stay as they are."""
    made = copy_shipped(tmp_path, "dvntm")
    sources = {("more.yml" if name == "hosts.yml" else name): text for name, text in MORE.items()}
    write(made / "dvntm", sources)
    write(made / "hooks", {"pre-commit": "#!/bin/sh\necho this is no inventory: [\n"})
    return made


def problems_of(folder: Path, severity: str) -> list[str]:
    return [str(problem) for problem in inventory.check(folder) if problem.severity == severity]


def test_it_loads_without_a_word_about_what_is_not_ours(folder: Path) -> None:
    assert inventory.sites(folder) == ["dvntm"]
    assert problems_of(folder, "error") == []
    doubts = "\n".join(problems_of(folder, "warning"))
    for untouched in ("poe", "rack", "ssids", "cores", "nowhere", "192.168.8.1", "vault", "sensor"):
        assert untouched not in doubts


def test_its_hosts_are_in_the_contract_as_far_as_the_router_serves_them(folder: Path) -> None:
    contract = resolve(inventory.load(folder, "dvntm"), state_dir=folder / "state")
    reserved = {one.name: str(one.address) for one in contract.reservations}
    assert reserved["access-sw01"] == "10.20.99.10"
    assert reserved["provisioner-ph01"] == "10.20.99.95"
    assert "ap01" not in reserved
    assert [guest.name for guest in contract.guests if not guest.name.endswith("-vm01")] == []


def test_a_name_that_two_claim_goes_to_ours(folder: Path) -> None:
    records = resolve(inventory.load(folder, "dvntm"), state_dir=folder / "state").records
    gateway = [record.target for record in records if record.name == "gateway.dvntm.deevnet.net"]
    assert gateway == ["core-rt02.dvntm.deevnet.net"]
    assert any("gateway.dvntm.deevnet.net" in text for text in problems_of(folder, "warning"))


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("access-sw01", "5c:62:8b:0c:40:ec", "5c:62:8b:0c:40", ("access-sw01.yml:5", "six bytes")),
        ("access-sw01", "5c:62:8b:0c:40:ec", "02:de:20:01:02:01", ("logs-vm01.yml:6", "access-sw01 of dvntm")),
        ("access-sw01", "10.20.99.10", "10.20.99.31", ("logs-vm01.yml:12", "access-sw01 of dvntm")),
        ("access-sw01", "10.20.99.10", "10.20.99.95", ("provisioner-ph01", "access-sw01", "10.20.99.95")),
        ("access-sw01", "10.20.99.10", "10.20.99.410", ("access-sw01.yml:8", "'10.20.99.410'", "IPv4 address")),
        ("access-sw01", "cnames: []", "cnames: [logs]", ("logs.dvntm.deevnet.net", "access-sw01")),
        ("provisioner-ph01", "c8:ff:bf:06:5a:5a", "5c:62:8b:0c:40:ec", ("provisioner-ph01.yml:1", "access-sw01")),
    ],
)
def test_its_identity_is_checked(folder: Path, file: str, old: str, new: str, words: tuple[str, ...]) -> None:
    edited = folder / f"dvntm/host_vars/{file}.yml"
    text = edited.read_text()
    assert old in text
    edited.write_text(text.replace(old, new))
    (problem,) = problems_of(folder, "error")
    for word in words:
        assert word in problem


def test_a_mac_in_another_notation_is_compared_and_only_doubted(folder: Path) -> None:
    switch = folder / "dvntm/host_vars/access-sw01.yml"
    text = switch.read_text()
    switch.write_text(text.replace("5c:62:8b:0c:40:ec", "5C-62-8B-0C-40-EC"))
    assert problems_of(folder, "error") == []
    assert any("5C-62" in text and "lowercase" in text for text in problems_of(folder, "warning"))
    switch.write_text(text.replace("5c:62:8b:0c:40:ec", "02:DE:20:01:02:01"))
    (problem,) = problems_of(folder, "error")
    assert "logs-vm01" in problem
    assert "access-sw01" in problem


def test_a_site_without_our_keys_is_checked_for_identity_only(folder: Path) -> None:
    write(folder / "garage", {"hosts.yml": "all: {hosts: {door-em01: {}}}", "host_vars/door-em01.yml": "env: nothing"})
    assert problems_of(folder, "error") == []
    assert any("identity only" in text for text in problems_of(folder, "warning"))


def test_an_old_copy_of_a_site_is_named_once_and_not_compared(folder: Path) -> None:
    """A kept copy claims every MAC and address again: one doubt, not thirty."""
    before = problems_of(folder, "warning")
    write(
        folder / "dvntm-old",
        {
            "hosts.yml": "all: {hosts: {logs-vm01: {}}}",
            "group_vars/all.yml": "deevnet_root_domain: deevnet.net\ndeevnet_substrate: dvntm\n",
            "host_vars/logs-vm01.yml": (folder / "dvntm/host_vars/logs-vm01.yml").read_text().split("mgmt_vm:")[0],
        },
    )
    assert problems_of(folder, "error") == []
    added = [text for text in problems_of(folder, "warning") if text not in before]
    assert len([text for text in added if "the domain of dvntm" in text]) == 1
    assert len(added) == 2  # the other: it has no mgmt_site


def test_an_inventory_may_live_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start at the site's folder, wherever the tool is called from."""
    made = copy_shipped(tmp_path / "elsewhere", "dvntm")
    monkeypatch.chdir(tmp_path)
    contract = resolve(inventory.load(Path("elsewhere"), "dvntm"), state_dir=Path("state"))
    assert contract.hypervisor.ssh.known_hosts == made / "dvntm/known_hosts.txt"
    assert contract.hypervisor.ssh.known_hosts.is_file()
