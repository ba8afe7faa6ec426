"""The command against the simulated API: what it reads becomes YAML, and nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.commands.importing import Access, import_inventory
from tests.importing.printed import documents
from tests.pve.served import make_certificate
from tests.simulators import Simulated, simulating

INTERFACES = """\
auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
\taddress 10.30.99.21/24
\tgateway 10.30.99.1
\tbridge-ports eno1
\tbridge-stp off
\tbridge-fd 0
"""


@pytest.fixture(scope="module")
def pve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    folder = tmp_path_factory.mktemp("pve")
    (folder / "interfaces").write_text(INTERFACES)
    with simulating(folder, *certificate, options=("--interfaces", str(folder / "interfaces"))) as running:
        (folder / "verify.token").chmod(0o600)
        vm = {"name": "metrics-vm01", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "memory": "1024"}
        running.control(op="seed", seed={"vms": [{"vmid": 131, "config": vm}]}, directory=str(folder))
        yield running


@pytest.fixture
def access(pve: Simulated) -> Access:
    return Access(pve.url, pve.fingerprint, "verify@pve!harness", pve.folder / "verify.token")


def test_a_node_is_read_with_an_audit_token_alone(
    pve: Simulated, access: Access, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = pve.writes()
    assert import_inventory(tmp_path, "fresh", access) == 0
    printed = capsys.readouterr()
    assert pve.writes() == written
    assert (pve.folder / "verify.token").read_text() not in printed.out + printed.err
    files = {name.partition("/")[2]: yaml.safe_load(text) for name, text in documents(printed.out).items()}
    hypervisor = files["host_vars/hv01.yml"]["mgmt_hypervisor"]
    assert hypervisor["bridges"] == {"vmbr0": {"port": "eno1", "segments": ["management"]}}
    assert set(hypervisor["storages"]) == {"local", "local-lvm"}
    assert hypervisor["templates"]["debian-lab-12"]["build_mark"] == "build: lab-image-1"
    assert files["host_vars/hv01.yml"]["env"]["interfaces"]["eth0"]["ip"] == "10.30.99.21"
    assert files["group_vars/all/vlans.yml"]["deevnet_vlans"]["management"]["gateway"] == "10.30.99.1"
    assert files["host_vars/metrics-vm01.yml"]["mgmt_vm"]["vmid"] == 131
    assert "bc:24:11:00:00:01 was drawn at random by Proxmox VE" in printed.out
    assert "contradictions to the contract" in printed.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"token": None}, "Give all four"),
        ({"url": None, "fingerprint": None, "token": None, "secret_file": None}, "has no site 'fresh'"),
        ({"fingerprint": "AB:CD"}, "this is not a SHA-256 fingerprint"),
        ({"fingerprint": ":".join(["AB"] * 32)}, "certificate"),
        ({"secret_file": Path("/nowhere/token")}, "there is no such file"),
        ({"node": "hv77"}, "hv77"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    access: Access, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], words: str
) -> None:
    assert import_inventory(tmp_path, "fresh", replace(access, **change)) == 2  # type: ignore[arg-type]
    printed = capsys.readouterr()
    assert printed.out == ""
    assert words in printed.err
    assert printed.err.count("\n") == 1


def test_a_token_that_sees_only_a_pool_is_refused(
    pve: Simulated, access: Access, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lists would be shorter without a word."""
    (pve.folder / "provision.token").chmod(0o600)
    narrow = replace(access, token="provision@pve!harness", secret_file=pve.folder / "provision.token")
    assert import_inventory(tmp_path, "fresh", narrow) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "lacks" in printed.err
