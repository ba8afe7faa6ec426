"""The whole path from the installer on: it ends green, is repeatable, and each broken promise is named alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import lab
from tests.site.administrator import as_root, finish_task
from tests.site.driver import ROOT, Site, provisioned

pytestmark = pytest.mark.lab

PATH = (("lab.up",), ("bootstrap",), ("provision",))
VICTIM = "metrics-vm01"
VMID = 130
ADDRESS = "198.18.99.30"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Made as a user makes it, without a short cut."""
    with provisioned(tmp_path_factory.mktemp("state"), *PATH) as made:
        yield made


def failed(result: dict[str, Any]) -> set[str]:
    return {clause["id"] for clause in result["clauses"] if clause["verdict"] == "fail"}


@dataclass(frozen=True)
class Breach:
    """One way to break one promise, and to mend it again."""

    clause: str
    break_it: Callable[[Site], object]
    mend_it: Callable[[Site], object]


def _config(**keys: str) -> Callable[[Site], object]:
    return lambda _: as_root("PUT", f"/nodes/hv01/qemu/{VMID}/config", **keys)


def _router(script: str) -> Callable[[Site], object]:
    return lambda site: site.run("core-rt01", f"{script} && systemctl reload dnsmasq")


def _pve_manager(version: str) -> Callable[[Site], object]:
    options = "-y -qq --allow-downgrades --allow-change-held-packages"
    return lambda site: site.run(
        "hv01", f"apt-get update -qq && apt-get install {options} pve-manager={version} && apt-mark hold pve-manager"
    )


def _foreign_vm(_: Site) -> None:
    finish_task(as_root("POST", "/nodes/hv01/qemu", vmid="900", name="stranger", memory="512"))


HOSTS_DHCP, HOSTS_DNS = "/etc/mgmt-dnsmasq/hosts.dhcp", "/etc/mgmt-dnsmasq/hosts.dns"

BREACHES = {
    "another MAC on a VM": Breach(
        "identity.mac-applied",
        _config(net0="virtio=02:de:99:01:01:99,bridge=vmbr0"),
        _config(net0="virtio=02:de:99:01:01:01,bridge=vmbr0"),
    ),
    "a reservation removed": Breach(
        "network.reservation",
        _router(f"cp {HOSTS_DHCP} /root/hosts.dhcp && sed -i /{ADDRESS}/d {HOSTS_DHCP}"),
        _router(f"cp /root/hosts.dhcp {HOSTS_DHCP}"),
    ),
    "an NFS storage added": Breach(
        "storage.local-only",
        lambda _: as_root(
            "POST", "/storage", storage="nas", type="nfs", server="198.18.99.9", export="/vm", content="images"
        ),
        lambda _: as_root("DELETE", "/storage/nas"),
    ),
    "a foreign VM": Breach(
        "identity.no-strangers", _foreign_vm, lambda _: finish_task(as_root("DELETE", "/nodes/hv01/qemu/900"))
    ),
    "protection off": Breach("recovery.protected", _config(protection="0"), _config(protection="1")),
    "PTR record wrong": Breach(
        "network.dns",
        _router(
            f"cp {HOSTS_DNS} /root/hosts.dns && "
            f"sed -i 's/^{ADDRESS} .*/{ADDRESS} wrong.lab.deevnet.net {VICTIM}.lab.deevnet.net/' {HOSTS_DNS}"
        ),
        _router(f"cp /root/hosts.dns {HOSTS_DNS}"),
    ),
    "pve-manager 8.4.0": Breach("platform.pve-version", _pve_manager("8.4.0"), _pve_manager("8.4.1")),
    "autostart off": Breach("recovery.autostart", _config(onboot="0"), _config(onboot="1")),
}


def test_verify_is_green(site: Site) -> None:
    status, result = site.verify()
    assert status == 0, [clause for clause in result["clauses"] if clause["verdict"] in {"fail", "unknown"}]
    assert result["verdict"] == "pass"
    assert {clause["verdict"] for clause in result["clauses"]} <= {"pass", "waived", "unasserted"}


def test_passes_carry_their_evidence(site: Site) -> None:
    _, result = site.verify()
    without = [
        (clause["id"], check["name"])
        for clause in result["clauses"]
        for check in clause["checks"]
        if check["verdict"] == "pass" and not check["evidence"]
    ]
    assert without == []


def test_a_second_bootstrap_leaves_the_provisioned_host_alone(site: Site) -> None:
    ended = site.invoke("bootstrap")
    assert ended.status == 0, ended.said
    assert "nothing changed" in ended.out


def test_a_second_provision_makes_no_write_call(site: Site) -> None:
    lab.control({"op": "reset-counters"})
    ended = site.invoke("provision")
    assert ended.status == 0, ended.said
    assert "0 changes" in ended.said
    assert lab.control({"op": "counters"})["result"]["writes"] == 0


@pytest.mark.parametrize("name", BREACHES)
def test_a_broken_promise_is_named_alone(site: Site, name: str) -> None:
    breach = BREACHES[name]
    breach.break_it(site)
    try:
        status, result = site.verify()
    finally:
        breach.mend_it(site)
    assert failed(result) == {breach.clause}
    assert status == 1


def test_a_silent_api_is_no_verdict(site: Site) -> None:
    site.run("hv01", "systemctl stop pveproxy")
    try:
        status, result = site.verify()
    finally:
        site.run("hv01", "systemctl start pveproxy")
    assert status == 2
    assert result["verdict"] == "unknown"


def test_a_silent_guest_is_no_verdict(site: Site) -> None:
    site.run(VICTIM, "sudo systemctl stop ssh.socket ssh.service")
    try:
        status, result = site.verify()
    finally:
        # The agent is the only way in while sshd is down.
        as_root("POST", f"/nodes/hv01/qemu/{VMID}/agent/exec", command=["systemctl", "start", "ssh.service"])
    assert status == 2
    assert result["verdict"] == "unknown"


def test_the_summary_says_what_is_not_yet_asserted(site: Site) -> None:
    assert "Not yet shown" in site.invoke("verify").said


def test_the_inventory_may_live_elsewhere(site: Site, tmp_path: Path) -> None:
    """All a site needs is its folder: nothing of the checkout's inventory is read."""
    shutil.copytree(ROOT / "inventory/lab", tmp_path / "lab")
    planned = site.invoke("plan", f"--inventory={tmp_path}", "--site=lab", "--json")
    assert planned.status == 0, planned.said
    assert json.loads(planned.out)["changes"] == []
    status, result = site.verify(f"--inventory={tmp_path}", "--site=lab", "--clause=identity")
    assert status == 0, failed(result)


def test_another_sites_vms_are_refused(site: Site, tmp_path: Path) -> None:
    """Two sites that claim the same VMIDs on one hypervisor: the notes tell whose they are."""
    shutil.copytree(ROOT / "inventory/lab", tmp_path / "other")
    ended = site.invoke("provision", f"--inventory={tmp_path}", "--site=other")
    assert ended.status == 2
    assert "metrics-vm01 of site lab" in ended.said
    assert "nothing was changed" in ended.said
