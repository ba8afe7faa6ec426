"""Each drill is good on a site that keeps its promise, red with a cause of its own, and leaves the site as it was."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.drills.record import Record, read_record
from harness.lab.paths import MACHINES
from tests.site.administrator import as_root
from tests.site.driver import ROOT, Ended, Site, provisioned
from tests.site.test_killed import until

pytestmark = pytest.mark.lab

KEPT = ("jump-vm01", "metrics-vm01", "oob-vm01", "scratch-vm01")
FORWARDER = "/etc/dnsmasq.d/drill.conf"
# A service of metrics-vm01 that in truth sits on the tenant hypervisor: here is only whoever passes it on.
PASS_ON = """
import socket, threading

def pump(source, target):
    while data := source.recv(4096):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)

listener = socket.create_server(("", 8080))
while True:
    client = listener.accept()[0]
    try:
        server = socket.create_connection(("198.18.99.22", 8080), 2)
    except OSError:
        client.close()
        continue
    for ends in ((client, server), (server, client)):
        threading.Thread(target=pump, args=ends).start()
"""
# In a network of its own, one end of a cable to the lab's switch.
TENANT = """
me=$$
nsenter --net=/proc/$1/ns/net sh -euc "ip link add p-tenant type veth peer name tenant
    ip link set p-tenant master lan up
    ip link set tenant netns $me"
ip address add 198.18.99.22/24 dev tenant
ip link set tenant up
exec python3 -m http.server 8080
"""


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's inventory with three VMs: what a drill does with ten it does with three, in a third of the time."""
    folder = tmp_path_factory.mktemp("inventory")
    shutil.copytree(ROOT / "inventory/lab", folder / "lab")
    for file in (folder / "lab/host_vars").glob("*-vm01.yml"):
        if file.stem not in KEPT:
            file.unlink()
    hosts = folder / "lab/hosts.yml"
    lines = hosts.read_text().splitlines()
    hosts.write_text("\n".join(one for one in lines if "-vm01" not in one or one.strip(" :{}") in KEPT) + "\n")
    return folder


@pytest.fixture(scope="module")
def small(inventories: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    where = f"--inventory={inventories}"
    state = tmp_path_factory.mktemp("state")
    with provisioned(state, ("lab.up", "--bootstrapped", where), ("provision", where, "--without-backups")) as made:
        yield made


@pytest.fixture
def drill(small: Site, inventories: Path) -> Any:
    return lambda name: small.invoke("drill", name, "--yes", f"--inventory={inventories}")


def recorded(site: Site, name: str) -> Record:
    record = read_record(site.state / "lab", name)
    assert record is not None
    return record


def clause(site: Site, inventories: Path, name: str) -> dict[str, Any]:
    _, result = site.verify(f"--inventory={inventories}", f"--clause={name}")
    found: dict[str, Any] = result["clauses"][0]
    return found


def statuses() -> set[str]:
    return {vm["status"] for vm in as_root("GET", "/nodes/hv01/qemu") if vm["vmid"] != 9000}


def require_clean(site: Site) -> None:
    """Nothing of a drill is left on the hypervisor."""
    left = "ls -d /var/lib/mgmt-harness/drill /etc/systemd/system/mgmt-harness-drill.*"
    filters = "tc filter show dev eno1 ingress; tc filter show dev eno1 egress; ip link show mgmt-drill"
    assert site.run("hv01", f"({left}; {filters}) 2>/dev/null; exit 0") == ""
    assert statuses() == {"running"}


@contextmanager
def tenant() -> Iterator[None]:
    """A machine at the tenant hypervisor's address, with a web server."""
    switch = (MACHINES / "switch/pid").read_text().split()[0]
    machine = subprocess.Popen(
        ["unshare", "--net", "sh", "-euc", TENANT, "sh", switch],
        cwd=ROOT / "docs",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        machine.terminate()
        machine.wait(10)


def test_a_restart_brings_back_what_starts_with_the_node_and_shows_what_does_not(
    small: Site, inventories: Path, drill: Any
) -> None:
    as_root("PUT", "/nodes/hv01/qemu/139/config", onboot="0")
    ended: Ended = drill("reboot")
    assert ended.status == 1, ended.said
    assert "oob-vm01 after the restart: expected running, seen stopped" in ended.said
    assert recorded(small, "reboot").result == "bad"
    require_clean(small)

    as_root("PUT", "/nodes/hv01/qemu/139/config", onboot="1")
    ended = drill("reboot")
    assert ended.status == 0, ended.said
    record = recorded(small, "reboot")
    assert (record.result, record.left) == ("good", ())
    assert ("order of the starts", "jump-vm01, oob-vm01, metrics-vm01") in [(o.what, o.seen) for o in record.evidence]
    require_clean(small)
    found = clause(small, inventories, "recovery.reboot")
    assert (found["verdict"], found["checks"][0]["evidence"][0]["source"]) == ("pass", "drill")


def test_a_router_that_asks_a_vm_is_not_alone(small: Site, drill: Any) -> None:
    options = "--conf-file=/dev/null --bind-interfaces --listen-address=198.18.99.39 --pid-file=/run/resolver.pid"
    small.run("oob-vm01", f"sudo dnsmasq {options} --address=/example.net/192.0.2.7")
    small.run("core-rt01", f"echo server=/example.net/198.18.99.39 >{FORWARDER} && systemctl restart dnsmasq")
    ended: Ended = drill("router-alone")
    small.run("core-rt01", f"rm {FORWARDER} && systemctl restart dnsmasq")
    assert ended.status == 1, ended.said
    assert "a name outside the site, asked of the router alone: expected 192.0.2.7, seen" in ended.said
    require_clean(small)  # the VMs run again, and the one whose resolver that was has a new one

    ended = drill("router-alone")
    assert ended.status == 0, ended.said
    assert "DHCP offers on the hypervisor's bridge" in ended.said
    require_clean(small)


def test_a_drill_that_is_interrupted_starts_the_vms_again_and_shows_nothing(small: Site, inventories: Path) -> None:
    before = recorded(small, "router-alone").last_good
    with drilling(small, inventories, "router-alone") as running:
        assert running.stdout is not None
        list(until("VMs are off", running.stdout))
        assert "stopped" in statuses()
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(60) == 130
    record = recorded(small, "router-alone")
    assert (record.result, record.last_good, record.left) == ("interrupted", before, ())
    require_clean(small)


def test_a_service_that_sits_on_the_tenant_hypervisor_is_missed_when_that_is_gone(
    small: Site, inventories: Path, drill: Any
) -> None:
    host = inventories / "lab/host_vars/metrics-vm01.yml"
    plain = host.read_text()
    service = {"unit": "web.service", "ports": [8080], "health": "http://198.18.99.30:8080/"}
    with tenant():
        small.run("metrics-vm01", f"cat >web.py <<'END'\n{PASS_ON}END\nsudo systemd-run --unit=web python3 ~/web.py")
        host.write_text(f"{plain.rstrip()}\n  services: [{service}]\n")
        ended: Ended = drill("tenant-loss")
        host.write_text(plain)
        assert ended.status == 1, ended.said
        assert "the tenant hypervisor hv02 before the cut: answers" in ended.said
        assert "health of web.service on metrics-vm01, without the tenant hypervisor: expected a good" in ended.said
        require_clean(small)

        cut_off(small, inventories)
        ended = drill("tenant-loss")
        assert ended.status == 0, ended.said
        assert "the hypervisor itself undid the drill tenant-loss" in ended.said
        assert "the tenant hypervisor hv02, cut off: no answer" in ended.said
        require_clean(small)


def cut_off(site: Site, inventories: Path) -> None:
    """Killed while the cut is on: the hypervisor ends it by itself, when its timer says so."""
    with drilling(site, inventories, "tenant-loss") as running:
        assert running.stdout is not None
        list(until("is cut off", running.stdout))
        wait_for_cut(site)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(10)
    found = clause(site, inventories, "recovery.tenant-loss")
    assert found["verdict"] == "fail"
    assert "was cut off, and what it changed may not be put back yet" in found["message"]
    due = site.run("hv01", "systemctl show --property=NextElapseUSecMonotonic --value mgmt-harness-drill.timer").strip()
    assert due not in {"", "0", "infinity"}
    site.run("hv01", "systemctl start mgmt-harness-drill.service")  # as the timer does
    timers = "systemctl list-timers --all --no-legend 'mgmt-harness-drill*'"
    assert site.run("hv01", f"tc filter show dev eno1 ingress; {timers}") == ""


def wait_for_cut(site: Site) -> None:
    site.run("hv01", "until tc filter show dev eno1 egress | grep -q mirred; do sleep 0.1; done")


@contextmanager
def drilling(site: Site, inventories: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [ROOT / "invoke", "drill", name, "--yes", f"--inventory={inventories}"],
        env={**os.environ, "MGMT_HARNESS_STATE": str(site.state), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait(10)


def test_a_backup_boots_beside_its_vm_and_without_one_the_drill_is_red(
    small: Site, inventories: Path, drill: Any
) -> None:
    ended: Ended = drill("restore")
    assert ended.status == 1, ended.said
    assert "there is no backup of it" in ended.said
    made = small.invoke("backup.now", "--guest=metrics-vm01", f"--inventory={inventories}")
    assert made.status == 0, made.said
    ended = drill("restore")
    assert ended.status == 0, ended.said
    assert "metrics-vm01 itself was not touched" in ended.said
    require_clean(small)


def test_a_vm_is_built_again_as_itself_and_has_its_disk_back(small: Site, inventories: Path, drill: Any) -> None:
    small.run("metrics-vm01", "echo kept | sudo tee /root/note && sync")
    ended: Ended = drill("rebuild")
    assert ended.status == 0, ended.said
    assert small.run("metrics-vm01", "sudo cat /root/note") == "kept\n"
    require_clean(small)
    assert clause(small, inventories, "recovery.rebuild")["verdict"] == "pass"
