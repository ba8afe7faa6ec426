"""Backed up, rebuilt and restored, a guest of the lab stays itself with its files; the router never hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.site.driver import Site, provisioned

pytestmark = pytest.mark.lab

GUEST, VMID = "metrics-vm01", 130
KEPT = ("name", "net0", "memory", "cores", "onboot", "startup", "protection", "tags", "agent")
FILE = "/var/lib/kept-by-a-test"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The lab up with this one guest, a file in it, and a backup of both."""
    commands = (("lab.up", "--bootstrapped"), ("provision", "--guest", GUEST, "--without-backups"))
    with provisioned(tmp_path_factory.mktemp("state"), *commands) as made:
        write(made, "old")
        ended = made.invoke("backup.now", "--guest", GUEST)
        assert ended.status == 0, ended.said
        write(made, "new")
        yield made


def write(site: Site, text: str) -> None:
    site.run(GUEST, f"echo {text} | sudo tee {FILE}; sync")


def read_file(site: Site) -> str:
    return site.run(GUEST, f"cat {FILE} 2>/dev/null || echo none").strip()


def pvesh(site: Site, path: str) -> Any:
    return json.loads(site.run("hv01", f"pvesh get {path} --output-format json"))


def kept(site: Site) -> dict[str, Any]:
    """What must be the same to the byte, whatever is done to the VM."""
    config = pvesh(site, f"/nodes/hv01/qemu/{VMID}/config")
    jobs = [{key: value for key, value in job.items() if key != "next-run"} for job in pvesh(site, "/cluster/backup")]
    return {
        "config": {key: config[key] for key in KEPT},
        "jobs": jobs,
        "uncovered": pvesh(site, "/cluster/backup-info/not-backed-up"),
        "router's files": site.run("core-rt01", "cat /etc/mgmt-dnsmasq/* /etc/dnsmasq.d/* | sha256sum"),
        "router's log": router_changes(site),
        "lease": site.run("core-rt01", "awk '{print $2, $3, $4}' /var/lib/misc/dnsmasq.leases | sort"),
    }


def router_changes(site: Site) -> list[str]:
    """What dnsmasq says when its configuration was read again or it was started."""
    log = site.run("core-rt01", "journalctl -u dnsmasq -o cat --no-pager")
    found = [line for line in log.splitlines() if "read " in line or "started" in line or "exiting" in line]
    assert any("started" in line for line in found)
    return found


def host_key(site: Site) -> str:
    return site.run(GUEST, "cat /etc/ssh/ssh_host_ed25519_key.pub")


def test_a_copy_boots_without_network_and_the_guest_is_not_touched(one: Site) -> None:
    before, key = kept(one), host_key(one)
    ended = one.invoke("restore", "--guest", GUEST)
    assert ended.status == 0, ended.said
    assert f"boots as VM 199: its agent answers as {GUEST}" in ended.out
    link = one.run("hv01", "ip -o link show tap199i0")
    assert "state DOWN" in link
    assert (read_file(one), kept(one), host_key(one)) == ("new", before, key)
    ended = one.invoke("restore", "--guest", GUEST, "--remove")
    assert (ended.status, ended.out.strip().splitlines()[-1]) == (0, "The scratch VM is gone"), ended.said
    assert {vm["vmid"] for vm in pvesh(one, "/nodes/hv01/qemu")} == {VMID, 9000}


def test_rebuilt_it_is_itself_with_empty_disks(one: Site) -> None:
    before, key = kept(one), host_key(one)
    ended = one.invoke("rebuild", "--guest", GUEST, "--yes")
    assert ended.status == 0, ended.said
    assert read_file(one) == "none"
    assert kept(one) == before
    assert host_key(one) != key


def test_restored_in_place_it_has_its_old_files(one: Site) -> None:
    before, key = kept(one), host_key(one)
    ended = one.invoke("restore", "--guest", GUEST, "--in-place", "--yes")
    assert ended.status == 0, ended.said
    assert read_file(one) == "old"
    assert kept(one) == before
    assert host_key(one) != key


def test_the_drills_are_green_and_leave_it_so(one: Site) -> None:
    before, key = kept(one), host_key(one)
    for drill in ("restore", "rebuild"):
        ended = one.invoke("drill", drill, "--guest", GUEST, "--yes")
        assert ended.status == 0, ended.said
        assert f"{drill}: good" in ended.out
    assert (read_file(one), kept(one), host_key(one)) == ("old", before, key)


def test_everything_promised_of_it_still_holds(one: Site) -> None:
    status, result = one.verify("--guest", GUEST)
    assert status == 0, [clause for clause in result["clauses"] if clause["verdict"] not in {"pass", "waived"}]


def test_destroying_it_takes_its_name(one: Site) -> None:
    ended = one.invoke("destroy", "--guest", GUEST, "--yes-destroy", "metrics")
    assert ended.status == 2
    assert "its name was not said a second time; nothing was changed" in " ".join(ended.said.split())
    ended = one.invoke("destroy", "--guest", GUEST, "--yes-destroy", GUEST)
    assert ended.status == 0, ended.said
    assert VMID not in [vm["vmid"] for vm in pvesh(one, "/nodes/hv01/qemu")]
    listed = json.loads(one.invoke("backup.list", "--guest", GUEST, "--json").out)
    assert len(listed[GUEST]) == 1
