"""Templates on the lab: today's is tested and named for what it shares; a fit one is fetched, proven and cloned."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from harness.lab.disks import ARTIFACTS_INSIDE
from tests.site.driver import ROOT, Ended, Site

NAME = "debian-lab-13"
# Debian makes host keys when the package is installed, and never again; a fit image has to see to it itself.
MAKE_KEYS = """[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
"""


def fit_image() -> bytes:
    """The lab's guest, with an empty machine-id and without host keys: what an image of the lab holds lies over it."""
    target = io.BytesIO()
    written = {"etc/machine-id": "", "etc/systemd/system/ssh.service.d/keys.conf": MAKE_KEYS}
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in written.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content.encode()))
        for name in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"):
            gone = tarfile.TarInfo(f"etc/ssh/{name}")
            gone.type = tarfile.CHRTYPE  # the device 0/0: overlayfs has the file for deleted
            archive.addfile(gone)
    return target.getvalue()


@pytest.fixture(scope="module")
def inventory(bare: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's inventory with a second template, whose image is on the lab's artifact server."""
    folder = tmp_path_factory.mktemp("inventory")
    shutil.copytree(ROOT / "inventory/lab", folder / "lab")
    image = fit_image()
    hosts = json.loads(bare.invoke("lab.status", "--json").out)["hosts"]
    router = next(host["pid"] for host in hosts if host["name"] == "core-rt01")
    (Path(f"/proc/{router}/root{ARTIFACTS_INSIDE}") / f"{NAME}.raw").write_bytes(image)
    with (folder / "lab/host_vars/hv01.yml").open("a") as file:
        file.write(
            f"    {NAME}:\n"
            f"      name: {NAME}\n      vmid: 9013\n      storage: local-lvm\n      os: debian\n"
            "      build_mark: lab-image-2\n      user: a_autoprov\n"
            f"      image:\n        url: http://198.18.99.1/{NAME}.raw\n"
            f"        checksum: sha256:{sha256(image).hexdigest()}\n        memory_mib: 512\n        cores: 1\n"
        )
    return folder


@pytest.fixture(scope="module")
def imported(bare: Site, inventory: Path) -> dict[str, Any]:
    ended = of(bare, inventory, "template.import", "--template", NAME, "--json")
    assert ended.status == 0, ended.said
    outcome: dict[str, Any] = json.loads(ended.out)
    return outcome


def of(site: Site, inventory: Path, *arguments: str) -> Ended:
    return site.invoke(*arguments, "--inventory", str(inventory))


def test_todays_template_is_named_for_what_its_clones_share(bare: Site) -> None:
    ended = bare.invoke("template.test", "--json")
    assert ended.status == 0, ended.said
    found = json.loads(ended.out)
    assert (found["failed"], found["unfit"]) == (["machine-id", "host-keys"], [])
    assert (
        "accepted  machine-id: the template has one, which all clones share (provision gives every clone" in ended.said
    )
    assert "mgmt-harness: tested=" in bare.run("hv01", "pvesh get /nodes/hv01/qemu/9000/config --output-format json")


def test_nothing_is_left_of_the_test(bare: Site) -> None:
    vms = json.loads(bare.run("hv01", "pvesh get /nodes/hv01/qemu --output-format json"))
    assert 199 not in {int(vm["vmid"]) for vm in vms}


def test_where_nobody_accepts_it_nothing_is_made_of_it(bare: Site, inventory: Path, tmp_path: Path) -> None:
    strict = tmp_path / "lab"
    shutil.copytree(inventory / "lab", strict)
    file = strict / "host_vars/hv01.yml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if "host-keys: " not in line))
    ended = of(bare, tmp_path, "plan", "--guest", "jump-vm01")
    assert ended.status == 2
    assert "template debian-lab-12 (9000) failed its fitness test" in ended.said
    assert "(host-keys)" in ended.said


def test_a_fit_template_is_fetched_by_checksum_and_proven(imported: dict[str, Any]) -> None:
    assert (imported["made"], imported["vmid"], imported["failed"]) == (True, 9013, [])
    seen = {finding["check"]: finding["seen"] for finding in imported["findings"]}
    assert seen["dhcp"] == "198.18.99.49, as reserved for 02:de:99:00:fe:01"
    assert seen["machine-id"] == seen["host-keys"] == "made at the clone's first boot"


@pytest.mark.usefixtures("imported")
def test_a_second_import_does_nothing(bare: Site, inventory: Path) -> None:
    ended = of(bare, inventory, "template.import", "--template", NAME)
    assert ended.status == 0
    assert "nothing was done" in ended.said


@pytest.mark.usefixtures("imported")
def test_a_vm_made_of_it_keeps_its_promises(bare: Site, inventory: Path) -> None:
    file = inventory / "lab/host_vars/jump-vm01.yml"
    file.write_text(file.read_text().replace("mgmt_vm:\n", f"mgmt_vm:\n  template: {NAME}\n"))
    made = of(bare, inventory, "provision", "--guest", "jump-vm01")
    assert made.status == 0, made.said
    listed = json.loads(of(bare, inventory, "template.list", "--json").out)
    assert {row["key"]: (row["usable"], row["guests"]) for row in listed} == {
        "debian-lab-12": (True, []),
        NAME: (True, ["jump-vm01"]),
    }
    checked = of(bare, inventory, "verify", "--guest", "jump-vm01", "--clause", "identity", "--clause", "provision")
    assert checked.status == 0, checked.said


@pytest.mark.usefixtures("imported")
def test_another_checksum_at_the_server_makes_no_vm(bare: Site, inventory: Path, tmp_path: Path) -> None:
    shutil.copytree(inventory / "lab", tmp_path / "lab")
    file = tmp_path / "lab/host_vars/hv01.yml"
    text = file.read_text().replace("vmid: 9013", "vmid: 9014").replace(f"name: {NAME}\n", f"name: {NAME}.1\n")
    before, _, after = text.partition("checksum: sha256:")
    file.write_text(f"{before}checksum: sha256:{'0' * 64}{after[64:]}")
    ended = of(bare, tmp_path, "template.import", "--template", NAME)
    assert ended.status == 2
    assert "checksum mismatch" in ended.said
    assert "9014" not in bare.run("hv01", "pvesh get /nodes/hv01/qemu --output-format json")
