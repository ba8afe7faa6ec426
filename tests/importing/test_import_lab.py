"""The inventory printed of the provisioned lab can be put into the files, is accepted, and tells what differs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.bootstrap.installed import Installed, installed_lab
from tests.importing.printed import documents, fill, merge, put

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_lab(tmp_path_factory.mktemp("site"), "bootstrapped") as up:
        for guest in ("metrics-vm01", "logs-vm01"):
            ended = up.invoke("provision", "--yes", f"--guest={guest}")
            assert ended.status == 0, ended.said
        yield up


def printed(site: Installed) -> str:
    ended = site.invoke("inventory.import")
    assert ended.status == 0, ended.said
    return ended.out


def test_what_is_as_declared_is_printed_as_declared(site: Installed) -> None:
    """The lab's machine is not the declared one, and that is all there is to say."""
    text = printed(site)
    marks = [line.strip() for line in text.splitlines() if "CONTRADICTS " in line or "DIFFERS" in line]
    assert {mark.split(":")[0] for mark in marks} <= {"# CONTRADICTS hardware.memory", "# CONTRADICTS hardware.disk"}
    files = {name: yaml.safe_load(part) for name, part in documents(text).items()}
    assert set(files) == {f"lab/host_vars/{name}.yml" for name in ("hv01", "metrics-vm01", "logs-vm01")}
    folder = site.folder / "inventory"
    for name, content in files.items():
        assert content == yaml.safe_load((folder / name).read_text()), name


def test_an_unknown_mac_is_filled_and_the_rest_is_accepted(site: Installed) -> None:
    folder = site.folder / "inventory"
    site.declare('mac: "02:de:99:00:02:01"', "mac: UNKNOWN")
    site.inside("pvesh set /nodes/hv01/qemu/130/config --memory 640")
    site.inside(
        "pvesh create /nodes/hv01/qemu --vmid 900 --name jump-vm02 --net0 virtio=BC:24:11:00:00:09,bridge=vmbr0"
    )
    text = printed(site)
    assert "# DIFFERS: on the node: 640" in text
    assert "bc:24:11:00:00:09 was drawn at random by Proxmox VE; set this one on the VM" in text
    assert "CONTRADICTS identity.no-strangers" in text
    files = documents(text)
    merge(folder / "lab/hosts.yml", files.pop("lab/hosts.yml"))
    answers = {
        "ip": "198.18.99.41",
        "responsibilities": "[jump-host]",
        "template": "debian-lab-12",
        "start_order": "11",
        "category": "access",
    }
    put(folder, {name: fill(part, answers) for name, part in files.items()})
    checked = site.invoke("inventory.check", "--site=lab")
    assert checked.status == 0, checked.said
    told = yaml.safe_load(site.declared.read_text())["infrastructure"]["interfaces"]["eth0"]["mac"]
    assert told == site.inside("cat /sys/class/net/eno1/address")
