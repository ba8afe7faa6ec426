"""What can be wrong around the tool ends in one sentence, the right exit status, and a site no worse than before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.site.administrator import destroy, vmids
from tests.site.driver import ROOT, Site, require_lab
from tests.site.faults import messages

pytestmark = pytest.mark.lab

NAME, VMID, ADDRESS = "oob-vm01", 139, "198.18.99.39"


@pytest.fixture
def gap(site: Site) -> Iterator[Site]:
    """The site without its last guest; whole again afterwards, and green."""
    destroy(VMID)
    yield site
    mended = site.invoke("provision")
    assert mended.status == 0, mended.said
    status, result = site.verify()
    assert status == 0, messages(result)


@pytest.fixture
def hurried(tmp_path: Path) -> str:
    """The same inventory with a short deadline, as an option."""
    shutil.copytree(ROOT / "inventory/lab", tmp_path / "lab")
    settings = tmp_path / "lab/group_vars/all/mgmt.yml"
    text = settings.read_text()
    assert "guest_deadline_s: 60" in text
    settings.write_text(text.replace("guest_deadline_s: 60", "guest_deadline_s: 10"))
    return f"--inventory={tmp_path}"


def last_line(said: str) -> str:
    return said.strip().splitlines()[-1]


def test_without_a_dhcp_server_nothing_is_created(gap: Site) -> None:
    gap.run("core-rt01", "systemctl stop dnsmasq")
    try:
        ended = gap.invoke("provision")
    finally:
        gap.run("core-rt01", "systemctl start dnsmasq")
    assert ended.status == 2
    assert "no dnsmasq is running there" in ended.said
    assert VMID not in vmids()


def test_a_deaf_dhcp_server_is_named_as_the_broken_link(gap: Site, hurried: str) -> None:
    """It runs and has the reservation, and answers nobody."""
    gap.run("core-rt01", "systemctl kill -s STOP dnsmasq")
    try:
        ended = gap.invoke("provision", hurried)
    finally:
        gap.run("core-rt01", "systemctl kill -s CONT dnsmasq")
    assert ended.status == 2
    assert "the chain breaks at address" in ended.said
    assert "Look at the router" in ended.said


def test_an_address_that_already_answers_is_not_given_to_a_second_machine(gap: Site) -> None:
    gap.run("core-rt01", f"ip address add {ADDRESS}/32 dev lan0")
    try:
        ended = gap.invoke("provision")
    finally:
        gap.run("core-rt01", f"ip address del {ADDRESS}/32 dev lan0")
    assert ended.status == 2
    assert f"something already has its address: {ADDRESS}" in ended.said
    assert VMID not in vmids()


def test_ctrl_c_leaves_what_the_next_run_finishes(gap: Site) -> None:
    environment = {**os.environ, "MGMT_HARNESS_STATE": str(gap.state)}
    with subprocess.Popen(
        [ROOT / "invoke", "provision"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert any("clone done" in line for line in run.stdout)
        run.send_signal(signal.SIGINT)
        rest = run.stdout.read()
    assert run.returncode == 128 + signal.SIGINT
    assert last_line(rest).startswith("Interrupted")


def test_a_guest_whose_agent_may_not_execute_gets_its_identity_over_ssh(gap: Site) -> None:
    """Fedora forbids guest-exec in its own image; here the template's disk gets the same setting."""
    settings = "/var/lib/pve-guests/9000/upper/etc/qemu/qemu-ga.conf"
    forbidden = "guest-exec,guest-exec-status,guest-file-open,guest-file-read"
    gap.run("hv01", f"mkdir -p $(dirname {settings}) && printf '[general]\\nblacklist={forbidden}\\n' >{settings}")
    try:
        ended = gap.invoke("provision", "--json")
    finally:
        gap.run("hv01", f"rm {settings}")
    assert ended.status == 0, ended.said
    (guest,) = json.loads(ended.out)["guests"]
    assert guest["identity_by"] == "ssh"


def test_without_root_the_demo_says_so_and_starts_nothing() -> None:
    require_lab()
    ended = subprocess.run(
        ["unshare", "--user", "--map-user=1000", ROOT / "invoke", "demo"],
        env={**os.environ, "HARNESS_NO_INSTALL": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "needs root" in last_line(ended.stderr)
    assert "sudo" in last_line(ended.stderr)


def test_without_mmdebstrap_the_demo_names_the_package(site: Site, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for folder in ("/bin", "/usr/bin"):
        for program in Path(folder).iterdir():
            if program.name != "mmdebstrap" and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    ended = site.invoke("demo", PATH=str(programs), HARNESS_NO_INSTALL="1")
    assert ended.status == 2
    assert "apt-get install -y --no-install-recommends mmdebstrap" in ended.said
    assert len(vmids()) == 11, "the lab that was up is still up: ten guests and the template"
