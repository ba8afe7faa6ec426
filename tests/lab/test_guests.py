"""Guests are real machines around a simulated API: DHCP, SSH, the agent's protocol, reboot and power."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from harness import lab
from tests.lab.client import LOGS, METRICS, NODE, Api, listens, shell, wait

pytestmark = pytest.mark.lab


def pid_in_hypervisor(vmid: int) -> str | None:
    """The first process of the guest with its start time; None while there is none."""
    return shell("hv01", f"find /var/lib/pve-guests/{vmid} -maxdepth 1 -name pid -exec cat {{}} +") or None


def test_guest_gets_the_address_reserved_for_its_mac(metrics: Api) -> None:
    assert shell(METRICS.name, "cat /sys/class/net/eth0/address") == METRICS.mac
    assert f"{METRICS.address}/24" in shell(METRICS.name, "ip -brief -4 address show eth0")
    [guest] = [guest for guest in lab.status().guests if guest.vmid == METRICS.vmid]
    assert (guest.mac, guest.address, guest.status) == (METRICS.mac, METRICS.address, "running")


def test_guest_system_is_well_and_the_automation_user_is_root_there(metrics: Api) -> None:
    wait(
        lambda: True if shell(METRICS.name, "systemctl is-system-running --wait") == "running" else None,
        deadline_s=10,
        what="a running system",
    )
    assert shell(METRICS.name, "id --user --name; sudo id --user --name").split() == ["a_autoprov", "root"]


def test_clones_are_alike_until_they_are_personalised(metrics: Api) -> None:
    metrics.start_clone(LOGS)
    try:
        for question in ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "hostname"):
            assert shell(METRICS.name, question) == shell(LOGS.name, question)
    finally:
        metrics.run("POST", f"{NODE}/qemu/{LOGS.vmid}/status/stop")
        metrics.run("DELETE", f"{NODE}/qemu/{LOGS.vmid}")


def test_full_clone_keeps_what_was_written_before(metrics: Api) -> None:
    shell(METRICS.name, "sudo rm /etc/issue; echo kept | sudo tee /etc/kept")
    metrics.run("POST", f"{NODE}/qemu/{METRICS.vmid}/status/shutdown")
    metrics.run("POST", f"{NODE}/qemu/{METRICS.vmid}/clone", newid=LOGS.vmid, name=LOGS.name, full=1)
    metrics.call("PUT", f"{NODE}/qemu/{LOGS.vmid}/config", net0=f"virtio={LOGS.mac},bridge=vmbr0")
    metrics.start(LOGS)
    try:
        assert shell(LOGS.name, "cat /etc/kept; test ! -e /etc/issue && echo gone").split() == ["kept", "gone"]
    finally:
        metrics.run("POST", f"{NODE}/qemu/{LOGS.vmid}/status/stop")
        metrics.run("DELETE", f"{NODE}/qemu/{LOGS.vmid}")


def test_restored_guest_has_the_files_of_the_backup_and_boots(metrics: Api) -> None:
    shell(METRICS.name, "sudo rm /etc/issue; echo saved | sudo tee /etc/kept; sync")
    metrics.run("POST", f"{NODE}/vzdump", vmid=METRICS.vmid, storage="local", compress="zstd", mode="snapshot")
    backups = metrics.call("GET", f"{NODE}/storage/local/content", content="backup", vmid=METRICS.vmid)
    [volid] = [item["volid"] for item in backups]
    shell(METRICS.name, "echo spoilt | sudo tee /etc/kept /etc/issue")
    metrics.run("POST", f"{NODE}/qemu/{METRICS.vmid}/status/stop")
    metrics.run("POST", f"{NODE}/qemu", vmid=METRICS.vmid, archive=volid, force=1)
    metrics.start(METRICS)
    assert shell(METRICS.name, "cat /etc/kept; test ! -e /etc/issue && echo gone").split() == ["saved", "gone"]
    assert shell(METRICS.name, "systemctl is-failed --quiet ssh || echo well") == "well"
    metrics.run("DELETE", f"{NODE}/storage/local/content/{volid}")


def test_guest_whose_cable_is_pulled_answers_only_through_its_agent(metrics: Api) -> None:
    """How a restored copy is looked at beside its original."""
    config, off = f"{NODE}/qemu/{METRICS.vmid}/config", f"virtio={METRICS.mac},bridge=vmbr0,link_down=1"
    metrics.run("POST", f"{NODE}/qemu/{METRICS.vmid}/status/stop")
    metrics.call("PUT", config, net0=off)
    metrics.run("POST", f"{NODE}/qemu/{METRICS.vmid}/status/start")
    ping = f"{metrics.url}/api2/json{NODE}/qemu/{METRICS.vmid}/agent/ping"
    wait(lambda: metrics.session.post(ping, timeout=60).ok or None, deadline_s=30, what="agent")
    assert metrics.holds_address(METRICS) is None
    assert listens(METRICS.address) is None
    metrics.call("PUT", config, net0=off.removesuffix(",link_down=1"))
    metrics.wait_reachable(METRICS)


def test_no_guest_changes_the_mac_the_hypervisor_is_known_by(metrics: Api) -> None:
    """A bridge takes the lowest of its ports; whoever knows another one talks to nobody for a while."""
    mac = "cat /sys/class/net/{}/address".format
    tap = f"tap{METRICS.vmid}i0"
    assert shell("hv01", mac(tap)) == METRICS.mac.replace("02:", "fe:", 1)
    changed = {"hotplug": "network", "net0": f"virtio={LOGS.mac},bridge=vmbr0"}
    metrics.call("PUT", f"{NODE}/qemu/{METRICS.vmid}/config", **changed)
    assert shell("hv01", mac(tap)) == LOGS.mac.replace("02:", "fe:", 1)
    assert shell("hv01", mac("vmbr0")) == shell("hv01", mac("eno1"))


def test_restarted_simulator_finds_its_guests(metrics: Api) -> None:
    before = pid_in_hypervisor(METRICS.vmid)
    shell("hv01", "systemctl restart pveproxy")
    wait(lambda: True if metrics.status(METRICS.vmid) == "running" else None, deadline_s=10, what="running guest")
    assert pid_in_hypervisor(METRICS.vmid) == before


def test_killed_simulator_finds_its_guests(metrics: Api) -> None:
    before = pid_in_hypervisor(METRICS.vmid)
    shell("hv01", "systemctl kill --signal=KILL pveproxy && systemctl restart pveproxy")
    assert metrics.status(METRICS.vmid) == "running"
    assert pid_in_hypervisor(METRICS.vmid) == before


def test_other_manager_version_is_installed_under_running_guests(metrics: Api) -> None:
    before = pid_in_hypervisor(METRICS.vmid)
    install = "apt-get -q install -y --allow-downgrades --allow-change-held-packages pve-manager="
    shell("hv01", f"apt-get -q update && {install}8.4.0")
    try:
        assert "pve-manager/8.4.0/ec58e45e1bcdf2ac" in shell("hv01", "pveversion")
        assert metrics.call("GET", "/version")["version"] == "8.4.0"
        assert pid_in_hypervisor(METRICS.vmid) == before
    finally:
        shell("hv01", f"{install}8.4.1 && apt-mark hold pve-manager")


def test_reboot_inside_the_guest_comes_back(metrics: Api) -> None:
    before = pid_in_hypervisor(METRICS.vmid)
    subprocess.run([*lab.ssh_command(METRICS.name), "sudo systemctl reboot"], check=False, timeout=30)

    def started_again() -> str | None:
        now = pid_in_hypervisor(METRICS.vmid)
        return now if now != before else None

    wait(started_again, deadline_s=20, what="new first process")
    metrics.wait_reachable(METRICS)
    assert metrics.status(METRICS.vmid) == "running"


def test_power_off_inside_the_guest_stops_it(metrics: Api) -> None:
    subprocess.run([*lab.ssh_command(METRICS.name), "sudo systemctl poweroff"], check=False, timeout=30)
    wait(lambda: metrics.status(METRICS.vmid) == "stopped" or None, deadline_s=20, what="stopped guest")
    assert f"tap{METRICS.vmid}i0" not in shell("hv01", "ls /sys/class/net")


def test_agent_answers_in_its_own_protocol(metrics: Api) -> None:
    path = f"{NODE}/qemu/{METRICS.vmid}/agent"
    assert metrics.call("GET", f"{path}/get-host-name")["result"]["host-name"] == "fedora-template"
    started = metrics.call("POST", f"{path}/exec", command=["/bin/echo", "said"])

    def ended() -> dict[str, Any] | None:
        status: dict[str, Any] = metrics.call("GET", f"{path}/exec-status", pid=started["pid"])
        return status if status["exited"] else None

    assert wait(ended, deadline_s=10, what="the end of the command")["out-data"] == "said\n"


def test_control_socket_counts_calls(metrics: Api) -> None:
    answer = lab.control({"op": "counters"})
    assert answer["ok"] is True
    assert answer["result"]["writes"] > 0
